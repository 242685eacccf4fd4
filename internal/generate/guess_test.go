package generate

import (
	"slices"
	"testing"

	"ringmaster/internal/model"
	"ringmaster/internal/plan"
)

func TestDrafts(t *testing.T) {
	for name, c := range map[string]struct {
		text         []int32
		length, room int
		want         []int32
	}{
		"nothing stood before":           {[]int32{1, 2, 3, 4}, 8, 8, nil},
		"one token is no match":          {[]int32{1, 2, 3, 1}, 8, 8, nil},
		"what came after two":            {[]int32{1, 2, 3, 4, 1, 2}, 2, 8, []int32{3, 4}},
		"the last of several":            {[]int32{1, 2, 3, 1, 2, 4, 1, 2}, 1, 8, []int32{4}},
		"a longer match before a nearer": {[]int32{7, 1, 2, 3, 9, 1, 2, 4, 7, 1, 2}, 1, 8, []int32{3}},
		"a repetition goes on":           {[]int32{5, 6, 5, 6, 5}, 5, 8, []int32{6, 5, 6, 5, 6}},
		"one token again and again":      {[]int32{9, 9, 9}, 4, 8, []int32{9, 9, 9, 9}},
		"the first draft is short":       {[]int32{9, 9, 9}, 0, 8, []int32{9}},
		"there is little room":           {[]int32{9, 9, 9}, 4, 2, []int32{9, 9}},
		"there is none":                  {[]int32{9, 9, 9}, 4, -3, nil},
		"no text":                        {nil, 4, 8, nil},
	} {
		g := guess{length: c.length}
		if got := g.draft([]int32{100}, c.text, c.room); !slices.Equal(got[1:], c.want) || got[0] != 100 {
			t.Errorf("%s: drafted %v, want %v", name, got[1:], c.want)
		}
	}
}

// TestFutileDraftsBecomeRare counts the drafts of a text in which none is right.
func TestFutileDraftsBecomeRare(t *testing.T) {
	var g guess
	drafts, text := 0, []int32{9, 9, 9}
	for range 1000 {
		n := len(g.draft(nil, text, 8))
		drafts += n
		g.learn(n, 0)
	}
	if drafts == 0 || drafts > 25 {
		t.Errorf("%d tokens were drafted in vain for 1,000", drafts)
	}
}

// TestDraftsChangeNoToken writes with and without drafts: the likeliest tokens and drawn ones, stopped texts, beyond the context, alone and
// beside others.
func TestDraftsChangeNoToken(t *testing.T) {
	stop := func(tokens []int32) bool { return len(tokens) > 9 && tokens[len(tokens)-1]%5 == 0 }
	for name, m := range map[string]*model.Model{"gpt": gpt(t, 60), "gpt, short": gpt(t, 16), "llama": llama(t), "t5": translator(t, true)} {
		for _, o := range []Options{
			{}, {Temperature: 0.3}, {Temperature: 1, TopK: 3, Return: 2}, {End: []int32{1, 2, 3}}, {Stop: stop}, {RepetitionPenalty: 0.7}, {Among: plan.Interval{Begin: 3, End: 9}},
		} {
			o.MaxTokens, o.Seed = 45, 3
			want, err := Write(decoder(t, m, nil, model.DecoderOptions{Slots: 1}), prompts, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, way := range []struct {
				draft, batch int
				recompute    bool
			}{{1, 1, false}, {15, 1, false}, {15, 3, false}, {15, 1, true}} {
				o.Draft, o.Batch = way.draft, way.batch
				got, err := Write(decoder(t, m, nil, model.DecoderOptions{Slots: way.batch, Recompute: way.recompute}), prompts, o, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					for k := range want[i] {
						if !slices.Equal(got[i][k].Tokens, want[i][k].Tokens) || got[i][k].Ended != want[i][k].Ended {
							t.Errorf("%s, %+v, %+v: prompt %d is continued with %v, without drafts %v", name, o, way, i, got[i][k], want[i][k])
						}
					}
				}
			}
		}
	}
}

// TestDraftsSavePasses wants fewer passes than tokens where a text repeats itself.
func TestDraftsSavePasses(t *testing.T) {
	const most = 30
	m := gpt(t, 60)
	d := decoder(t, m, nil, model.DecoderOptions{Slots: 1})
	l := newLine(d, Options{MaxTokens: most, Draft: 15, RepetitionPenalty: 0.01}, 0, []int32{4, 4, 4, 4}, most, 0, func(int32) bool { return true })
	passes := 0
	for done := false; !done; passes++ {
		logits, err := d.Append(l.additions(nil, 15)...)
		if err != nil {
			t.Fatal(err)
		}
		if done, err = l.take(logits); err != nil {
			t.Fatal(err)
		}
	}
	if written := len(l.texts()[0].Tokens); written != most || passes > most/2 {
		t.Errorf("%d tokens took %d passes: %v", written, passes, l.texts())
	}
}
