package allreduce

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/plan"
)

// What a worker has sent the next one has received, once a step has ended; while somebody does not take part, all that was
// sent still comes in at the next worker.
func TestWhatIsSentIsReceivedOnceAStepHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &InProcess{}
		w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), 4, 3), 4, plan.Interval{Begin: 0, End: 90000}.Parts(2))
		w.open(t, func(int) Links { return memory })
		done := make(chan error, 3)
		step := func(i int) {
			_, err := oneStep(w.rings[i], 1, w.view.Members[i].Arc)
			done <- err
		}
		for i := range 3 {
			go step(i)
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		for i, r := range w.rings {
			sent, _ := r.Traffic()
			if _, received := w.rings[(i+1)%3].Traffic(); sent == 0 || sent != received {
				t.Errorf("worker %d has sent %d frames, the next one has received %d", i, sent, received)
			}
		}
		w.close()
	})
}

// An Opening says which of the two links is open already.
func TestAnOpeningSaysWhichLinkStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := cut(rand.New(rand.NewPCG(5, 5)), 3, 3)
		w := newWorld(members, 3, nil)
		memory := &InProcess{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		openings := make([]Opening, 3)
		rings := make(chan *Ring, 3)
		open := func(i int) {
			id := Identity{Cluster: 1, Job: "job", View: w.view, Self: i, Opening: &openings[i]}
			r, err := Open(ctx, id, memory, [][]float32{nil}, nil)
			if err != nil {
				t.Error(err)
			}
			rings <- r
		}
		stands := func(i int, next, prev bool) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if gotNext, gotPrev := openings[i].Stands(); gotNext != next || gotPrev != prev {
				t.Errorf("worker %d: links to the next %v and from the previous %v, want %v and %v", i, gotNext, gotPrev, next, prev)
			}
		}
		go open(0)
		stands(0, false, false)
		go open(1)
		stands(0, true, false)
		stands(1, false, true)
		go open(2)
		stands(0, true, true)
		stands(1, true, true)
		stands(2, true, true)
		for range 3 {
			go (<-rings).Close()
		}
		synctest.Wait()
	})
}
