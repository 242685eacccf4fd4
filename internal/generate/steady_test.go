//go:build !race

package generate

import (
	"testing"

	"ringmaster/internal/model"
	"ringmaster/internal/tensor/kernel"
)

// TestATokenAllocatesNothing wants tokens without allocation once a text has begun: the likeliest, drawn, and of beams, on several threads.
func TestATokenAllocatesNothing(t *testing.T) {
	team := kernel.NewTeam(2)
	defer team.Close()
	for _, m := range []*model.Model{gpt(t, 600), translator(t, true)} {
		for _, o := range []Options{
			{Temperature: 0}, {Draft: 8}, {Temperature: 1, TopK: 5, TopP: 0.9, RepetitionPenalty: 1.2}, {Temperature: 1, TopP: 0.9}, {Beams: 3, LengthPenalty: 1},
		} {
			const slots, most = 3, 590
			o.MaxTokens, o.Batch = most, slots
			d := decoder(t, m, team, model.DecoderOptions{Slots: slots})
			begin := []int32{3, 4, 5}
			if d.SourceContext() > 0 {
				if err := d.Read(0, begin); err != nil {
					t.Fatal(err)
				}
				begin = []int32{d.Start()}
			}
			var j job
			if o.Beams > 1 {
				j = newBeams(d, o, 0, begin, most)
			} else {
				j = newLine(d, o, 0, begin, most, 0, func(int32) bool { return true })
			}
			var additions []model.Addition
			step := func() {
				additions = j.additions(additions[:0], 8)
				logits, err := d.Append(additions...)
				if err == nil {
					_, err = j.take(logits)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for range 25 { // the buffers have grown
				step()
			}
			if n := testing.AllocsPerRun(20, step); n != 0 && (o.Beams < 2 || n > 1) {
				t.Errorf("%+v: %g allocations a token", o, n)
			}
		}
	}
}
