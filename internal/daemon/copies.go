package daemon

import (
	"context"
	"log/slog"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/bucket"
	"ringmaster/internal/cluster"
	"ringmaster/internal/objects"
)

// copiesIn opens places in object stores for copies of checkpoints. The log hears when they stop answering, and when they do so again.
func copiesIn(log *slog.Logger) func(place string) (cluster.Bucket, error) {
	return func(place string) (cluster.Bucket, error) {
		b, err := bucket.Open(place, objects.Options{Patience: copyAttempts, Say: func(line string) { log.Info(line) }})
		if err != nil {
			return nil, err
		}
		return copyBucket{b}, nil
	}
}

// copyAttempts is how long a request for a copy is tried again before the status says that the bucket does not answer. The copy is tried again
// however long that takes.
const copyAttempts = 5 * time.Second

// copyBucket is a bucket as a leader sees it.
type copyBucket struct{ *bucket.Bucket }

// Held implements cluster.Bucket.
func (b copyBucket) Held(ctx context.Context) ([]checkpoint.Name, error) {
	all, err := b.List(ctx)
	names := make([]checkpoint.Name, len(all))
	for i, h := range all {
		names[i] = h.Name
	}
	return names, err
}
