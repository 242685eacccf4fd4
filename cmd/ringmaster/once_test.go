package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ringmaster/internal/client"
	"ringmaster/internal/progress"
)

// notes are what a display was told.
type notes struct {
	progress.Display
	said []string
}

func (n *notes) Note(text string) { n.said = append(n.said, text) }

// A cluster that does not answer is asked again, which is said once; another error ends the asking, and so does the end of the context.
func TestAClusterIsWaitedFor(t *testing.T) {
	unreachable, other := fmt.Errorf("ask: %w", client.ErrUnreachable), errors.New("no")
	for _, want := range []error{nil, other} {
		var seen notes
		answers := []error{unreachable, unreachable, want}
		err := whenAnswered(t.Context(), &seen, func(context.Context) error {
			defer func() { answers = answers[1:] }()
			return answers[0]
		})
		if !errors.Is(err, want) || len(answers) != 0 || len(seen.said) != 1 {
			t.Errorf("%v with %d answers to come, said %q; want %v", err, len(answers), seen.said, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := whenAnswered(ctx, &notes{}, func(context.Context) error { return unreachable }); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without a context: %v", err)
	}
}

// The same key makes the same token, another one another, none leaves it to chance.
func TestTokenOfAKey(t *testing.T) {
	if a, b := tokenOf("a"), tokenOf("b"); a == b || a != tokenOf("a") || a == 0 || tokenOf("") != 0 {
		t.Errorf("%x, %x, %x", a, b, tokenOf(""))
	}
}
