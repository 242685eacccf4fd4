package launch

import (
	"context"

	"ringmaster/internal/progress"
)

// quiet shows nothing.
type quiet struct{}

func (quiet) Update(progress.Snapshot) {}
func (quiet) Note(string)              {}
func (quiet) Close()                   {}

// canceled is a context that has ended.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
