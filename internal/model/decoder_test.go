package model

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor/kernel"
)

// writers are models that write texts, with contexts beyond a block of attention.
var writers = map[string]goldenCase{
	"gpt":              {cfg: config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 24}, spec: Spec{Tokens: true, Classes: 19, Context: 150}},
	"gpt bias":         {cfg: config.Model{Kind: config.ModelGPT, Depth: 1, Heads: 3, Width: 24, Bias: true}, spec: Spec{Tokens: true, Classes: 50, Context: 70}},
	"llama":            {cfg: config.Model{Kind: config.ModelLLaMA, Depth: 2, Heads: 4, KVHeads: 2, Width: 24, RopeTheta: 10000, Epsilon: 1e-6}, spec: Spec{Tokens: true, Classes: 19, Context: 150}},
	"llama wide":       {cfg: config.Model{Kind: config.ModelLLaMA, Depth: 1, Heads: 3, KVHeads: 1, Width: 16, HeadWidth: 10, RopeTheta: 500, Epsilon: 1e-5, Tied: true}, spec: Spec{Tokens: true, Classes: 50, Context: 70}},
	"gpt of documents": {cfg: config.Model{Kind: config.ModelGPT, Depth: 1, Heads: 2, Width: 16}, spec: Spec{Tokens: true, Classes: 19, Context: 40, Documents: true}},
	"t5": {cfg: config.Model{Kind: config.ModelT5, Depth: 2, Heads: 2, Width: 24, Buckets: 8, Distance: 16, Tied: true},
		spec: Spec{Tokens: true, Input: []int{140}, Classes: 19, Context: 130}},
	"t5 untied": {cfg: config.Model{Kind: config.ModelT5, Depth: 1, Heads: 2, Width: 16, HeadWidth: 6, Buckets: 8, Distance: 16},
		spec: Spec{Tokens: true, Input: []int{20}, Classes: 19, Context: 30}},
}

// texts draws a text for each slot.
func texts(count, vocabulary, longest int, seed uint32) [][]int32 {
	var all [][]int32
	for i := range count {
		n := 1 + int(hash(i, seed)%uint32(longest))
		all = append(all, chosen(n, seed+uint32(i)+1, vocabulary))
	}
	all[0] = chosen(longest, seed, vocabulary)
	return all
}

// TestDecodersGiveTheBitsOfWholeTexts compares the logits of texts that grow token by token, several at once and begun by pieces of any
// length, with those of whole texts: bit by bit, on every tier and with several threads.
func TestDecodersGiveTheBitsOfWholeTexts(t *testing.T) {
	team := kernel.NewTeam(3)
	defer team.Close()
	for name, c := range writers {
		m := mustBuild(t, c.cfg, c.spec)
		params := filled(m)
		for _, tier := range kernel.Tiers() {
			t.Run(fmt.Sprintf("%s %v", name, tier), func(t *testing.T) {
				defer kernel.Force(tier)()
				grown, err := m.NewDecoder(team, params, nil, DecoderOptions{Slots: 4})
				if err != nil {
					t.Fatal(err)
				}
				whole, err := m.NewDecoder(nil, params, nil, DecoderOptions{Slots: 4, Recompute: true})
				if err != nil || grown.rows == nil || whole.rows != nil {
					t.Fatal(err, grown.rows == nil)
				}
				compareDecoders(t, grown, whole)
			})
		}
	}
}

func compareDecoders(t *testing.T, grown, whole *Decoder) {
	const slots = 4
	if most := grown.SourceContext(); most > 0 {
		for source, tokens := range texts(slots, 19, most, 7) {
			for _, d := range []*Decoder{grown, whole} {
				if err := d.Read(source, tokens); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	all := texts(slots, grown.Vocabulary(), grown.Context(), 3)
	at := make([]int, slots)
	for round := uint32(0); ; round++ {
		var additions []Addition
		for slot, text := range all {
			n := []int{1, 1, 1, 2, 40, 77}[hash(slot, 50+round)%6]
			if n = min(n, len(text)-at[slot]); n > 0 {
				additions = append(additions, Addition{Slot: slot, Source: (slot + 1) % slots, Tokens: text[at[slot]:][:n]})
				at[slot] += n
			}
		}
		if len(additions) == 0 {
			return
		}
		got, err := grown.Append(additions...)
		if err != nil {
			t.Fatal(err)
		}
		width := grown.Vocabulary()
		for k, a := range additions {
			want, err := whole.Append(a)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range want {
				if math.Float32bits(v) != math.Float32bits(got[k*width+i]) {
					t.Fatalf("slot %d after %d tokens: logit %d is %v, of the whole text %v", a.Slot, whole.Len(a.Slot), i, got[k*width+i], v)
				}
			}
		}
	}
}

// TestDecodersCopyTexts lets a copy go on beside what it was copied from.
func TestDecodersCopyTexts(t *testing.T) {
	for name, c := range writers {
		m := mustBuild(t, c.cfg, c.spec)
		params := filled(m)
		for _, recompute := range []bool{false, true} {
			d, err := m.NewDecoder(nil, params, nil, DecoderOptions{Slots: 2, Recompute: recompute})
			if err != nil {
				t.Fatal(err)
			}
			if d.SourceContext() > 0 {
				if err := d.Read(1, chosen(9, 1, 19)); err != nil {
					t.Fatal(err)
				}
			}
			text := chosen(20, 5, 19)
			logits := func(slot int, tokens ...int32) []float32 {
				l, err := d.Append(Addition{Slot: slot, Source: 1, Tokens: tokens})
				if err != nil {
					t.Fatal(err)
				}
				return slices.Clone(l)
			}
			logits(0, text...)
			d.Copy(1, 0)
			logits(0, 3)
			logits(1, 4)
			a := logits(1, 5)
			d.Clear(0)
			b := logits(0, append(slices.Clone(text), 4, 5)...)
			if !slices.Equal(a, b) {
				t.Errorf("%s: a copy goes on differently", name)
			}
		}
	}
}

// TestDecodersTellOfSeveralTokens asks what comes after each of several tokens at once, and takes some of them back.
func TestDecodersTellOfSeveralTokens(t *testing.T) {
	for name, c := range writers {
		m := mustBuild(t, c.cfg, c.spec)
		params := filled(m)
		for _, recompute := range []bool{false, true} {
			d, err := m.NewDecoder(nil, params, nil, DecoderOptions{Slots: 2, Recompute: recompute})
			if err != nil {
				t.Fatal(err)
			}
			if d.SourceContext() > 0 {
				if err := d.Read(1, chosen(9, 1, 19)); err != nil {
					t.Fatal(err)
				}
			}
			ask := func(last int, tokens ...int32) []float32 {
				l, err := d.Append(Addition{Slot: 0, Source: 1, Tokens: tokens, Last: last})
				if err != nil {
					t.Fatal(err)
				}
				return slices.Clone(l)
			}
			text := chosen(11, 5, 19)
			ask(1, text...)
			want := slices.Concat(ask(0, 3), ask(1, 4), ask(1, 5))
			d.Truncate(0, len(text))
			ask(2, 9, 8) // a draft that is dropped
			d.Truncate(0, len(text))
			if got := ask(3, 3, 4, 5); !slices.Equal(got, want) {
				t.Errorf("%s, recompute %v: three tokens at once are told of differently than one by one", name, recompute)
			}
			if _, err := d.Append(Addition{Slot: 0, Source: 1, Tokens: []int32{1}, Last: 2}); err == nil {
				t.Errorf("%s: told of more tokens than it was given", name)
			}
		}
	}
}
