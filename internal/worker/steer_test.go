package worker

import (
	"context"
	"testing"

	"ringmaster/internal/rpc"
)

// A session ends its step first for an orderly view that follows its own, whichever generations other jobs have used in between. For another
// one it ends at once.
func TestSessionsYield(t *testing.T) {
	for name, test := range map[string]struct {
		view           *rpc.View
		yields, breaks bool
	}{
		"none":                        {nil, false, false},
		"its own":                     {&rpc.View{Generation: 4, Orderly: true, Follows: 2}, false, false},
		"the next one":                {&rpc.View{Generation: 5, Orderly: true, Follows: 4}, true, false},
		"the next one after a gap":    {&rpc.View{Generation: 9, Orderly: true, Follows: 4}, true, false},
		"of an older coordinator":     {&rpc.View{Generation: 5, Orderly: true}, true, false},
		"one of an older coordinator": {&rpc.View{Generation: 6, Orderly: true}, false, true},
		"one that follows another":    {&rpc.View{Generation: 9, Orderly: true, Follows: 7}, false, true},
		"one that does not wait":      {&rpc.View{Generation: 9, Follows: 4}, false, true},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		s := &session{generation: 4, cancel: cancel}
		j := &job{generation: 4, session: s}
		j.steer(&rpc.Order{View: test.view})
		if yields, broke := s.signals.Yield.Load(), ctx.Err() != nil; yields != test.yields || broke != test.breaks {
			t.Errorf("%s: yields %v, ends at once %v", name, yields, broke)
		}
		cancel(nil)
	}
}
