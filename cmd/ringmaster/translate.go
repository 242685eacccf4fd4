package main

import (
	"fmt"
	"os"

	"ringmaster/internal/model"
	"ringmaster/internal/rng"
)

// translate writes the target that a model of pairs answers a source with: the likeliest tokens, unless a temperature is given.
func (q *question) translate(t *trained) error {
	source, err := t.data.Lexicon.Encode(q.prompt)
	if err != nil {
		return wrong(fmt.Errorf("--prompt: %w", err))
	}
	if err := t.load(q.threads); err != nil {
		return err
	}
	how := model.Sampling{Top: q.top}
	if q.drawn {
		how.Temperature = float32(q.temperature)
	}
	var tokens []int32
	err = t.plan.Model.NewReplica(t.team).Answer(t.state.Params, t.state.Stats, source, q.tokens, how, rng.NewKey(q.seed), func(token int32) bool {
		tokens = append(tokens, token)
		return true
	})
	if err != nil {
		return failed(fmt.Errorf("--prompt: %w", err))
	}
	target := t.data.Lexicon.Decode(tokens)
	if !q.asJSON {
		fmt.Println(target)
		return nil
	}
	return failed(writeJSON(os.Stdout, struct {
		origin
		Seed   uint64 `json:"seed"`
		Prompt string `json:"prompt"`
		Text   string `json:"text"` // the target
	}{t.origin(), q.seed, q.prompt, target}))
}
