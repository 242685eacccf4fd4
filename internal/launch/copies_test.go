package launch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/rpc"
)

// The end of a job waits for its copies, says so, and fails where they do not come, with what to do.
func TestAJobsEndWaitsForItsCopies(t *testing.T) {
	status := func(copied int) *rpc.JobStatus {
		s := &rpc.JobStatus{CopyTo: "s3://b/p", Ended: true, CopiesSettled: copied == 2, Unsaved: []*rpc.Unsaved{{Place: "c1", What: "the checkpoint at step 20 in s3://b/p", Reason: "nobody answers"}}}
		for i, step := range []uint64{10, 20} {
			s.Checkpoints = append(s.Checkpoints, &rpc.CheckpointRecord{Step: step, Copied: i < copied})
		}
		return s
	}
	synctest.Test(t, func(t *testing.T) {
		var said []string
		note := func(line string) { said = append(said, line) }
		began := time.Now()
		s, err := AwaitCopies(t.Context(), status(0), time.Hour, func(context.Context) (*rpc.JobStatus, error) {
			switch since := time.Since(began); {
			case since > time.Minute:
				return status(2), nil
			case since > 30*time.Second:
				return nil, errors.New("no leader")
			}
			return status(1), nil
		}, note)
		if err != nil || !s.Checkpoints[1].Copied || len(said) != 2 || said[0] != "waiting until the checkpoint at step 10, 20 is in s3://b/p (nobody answers)" || said[1] != "all checkpoints are in s3://b/p" {
			t.Errorf("%v, said %q", err, said)
		}
		_, err = AwaitCopies(t.Context(), status(1), time.Minute, func(context.Context) (*rpc.JobStatus, error) { return status(1), nil }, note)
		if !errors.Is(err, ErrUncopied) || !strings.Contains(err.Error(), "step 20 to s3://b/p (nobody answers)") || !strings.Contains(err.Error(), "ringmaster checkpoints copy DIR s3://b/p") {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := AwaitCopies(ctx, status(1), time.Minute, nil, note); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := AwaitCopies(t.Context(), &rpc.JobStatus{}, time.Minute, nil, note); err != nil {
			t.Error(err)
		}
	})
}
