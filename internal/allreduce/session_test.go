package allreduce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/plan"
)

func inProcessWorld(t testing.TB, seats, workers, params int, memory *InProcess) *world {
	w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), seats, workers), seats, plan.Interval{Begin: 0, End: params}.Parts(2))
	w.open(t, func(int) Links { return memory })
	return w
}

func TestSmallWindowsDoNotDeadlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, workers := range []int{2, 3} {
		t.Run(fmt.Sprint("memory ", workers), func(t *testing.T) {
			w := inProcessWorld(t, 3, workers, 3*frameLen+11, &InProcess{Depth: 1})
			for step := range uint64(2) {
				w.step(t, step, rng)
			}
		})
		t.Run(fmt.Sprint("tcp ", workers), func(t *testing.T) {
			members := cut(rng, 3, workers)
			hosts := networks["tcp"](t, members, Options{Window: 64 << 10})
			w := newWorld(members, 3, plan.Interval{Begin: 0, End: 15*frameLen + 11}.Parts(2))
			w.open(t, func(i int) Links { return hosts[i].transport })
			for step := range uint64(2) {
				w.step(t, step, rng)
			}
			w.close()
		})
	}
}

// A worker alone sums small buckets at once and leaves large ones to the sender: the sums are the same.
func TestAloneOnBothSidesOfTheLimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	for _, seats := range []int{1, 2, 3} {
		for _, params := range []int{5, aloneLimit, 5 * aloneLimit} {
			w := inProcessWorld(t, seats, 1, params, &InProcess{})
			for step := range uint64(3) {
				w.step(t, step, rng)
			}
		}
	}
}

// A worker that has finished its last step may leave at once: the others still get everything, and no error.
func TestClosingAfterTheLastStepHarmsNobody(t *testing.T) {
	for _, name := range []string{"bufconn", "unix", "tcp"} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				members := cut(rand.New(rand.NewPCG(3, 3)), 5, 3)
				hosts := networks[name](t, members, Options{})
				w := newWorld(members, 5, plan.Interval{Begin: 0, End: 4 * frameLen}.Parts(2))
				w.open(t, func(i int) Links { return hosts[i].transport })
				w.fill(rand.New(rand.NewPCG(4, 4)))
				want := reference(w.flat, w.buckets)
				errs := make(chan error, 3)
				for i, r := range w.rings {
					arc := members[i].Arc
					go func() {
						_, err := oneStep(r, 9, arc)
						if err == nil {
							err = same(w.flat[arc.Begin], want)
						}
						if !r.Close() && err == nil {
							err = errors.New("not drained")
						}
						errs <- err
					}()
				}
				for range w.rings {
					if err := <-errs; err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

func TestClosingBetweenStepsEndsTheNextOne(t *testing.T) {
	w := inProcessWorld(t, 3, 3, 1000, &InProcess{})
	w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
	w.rings[1].Close()
	for _, i := range []int{0, 2} {
		r := w.rings[i]
		_, err := oneStep(r, 2, w.view.Members[i].Arc)
		if !errors.Is(err, ErrPeerClosed) || !strings.Contains(err.Error(), "w2") {
			t.Errorf("worker %d: got %v, want that w2 closed its session", i, err)
		}
		if err := r.End(2); err == nil {
			t.Errorf("worker %d: a step ended without worker w2", i)
		}
	}
	if err := w.rings[1].Wait(0); err != nil {
		t.Errorf("the summed bucket is gone: %v", err)
	}
}

func TestClosingInTheMiddleWakesEverybody(t *testing.T) {
	w := inProcessWorld(t, 4, 4, 100000, &InProcess{})
	errs := make(chan error, 4)
	for i, r := range w.rings[:3] {
		go func() {
			_, err := oneStep(r, 1, w.view.Members[i].Arc)
			errs <- err
		}()
	}
	last := w.rings[3]
	last.Begin(1)
	last.Ready(1)
	go func() { errs <- last.Wait(1) }()
	for waiting := false; !waiting; time.Sleep(time.Millisecond) {
		_, waiting = last.WaitingFor()
		if last.buckets[1].done { // the others got on without our bucket 0
			break
		}
	}
	last.Close()
	last.Close()
	for range 3 {
		if err := <-errs; err != nil && !errors.Is(err, ErrClosed) && !strings.Contains(err.Error(), "w4") {
			t.Errorf("got %v, want ErrClosed or w4 named", err)
		}
	}
	for _, r := range w.rings {
		<-r.Failed()
	}
}

func TestWaitingForNamesThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &InProcess{}
		w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), 4, 3), 4, plan.Interval{Begin: 0, End: 90000}.Parts(2))
		w.open(t, func(int) Links { return memory })
		done := make(chan error, 3)
		step := func(i int) {
			_, err := oneStep(w.rings[i], 4, w.view.Members[i].Arc)
			done <- err
		}
		go step(0)
		go step(2)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got, ok := w.rings[2].WaitingFor()
		if !ok || got.Peer.Worker != "w2" || got.Step != 4 || got.Bucket != 1 || got.Doing != "receiving" || time.Since(got.Since) != 5*time.Second {
			t.Errorf("worker w3 waits for %+v, %v; want w2, step 4, bucket 1, since 5 s", got, ok)
		}
		if got, ok := w.rings[1].WaitingFor(); ok {
			t.Errorf("worker w2 waits for %+v, want nobody: its trainer computes", got)
		}
		go step(1)
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.close()
	})
}

func TestWaitingForARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &InProcess{}
		w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), 3, 3), 3, nil)
		w.open(t, func(int) Links { return memory })
		done := make(chan error, 2)
		for _, r := range w.rings[:2] {
			r.Begin(1)
			r.Contribute(3, [][]byte{{1}})
			go func() {
				_, err := r.Collect(3)
				done <- err
			}()
		}
		synctest.Wait()
		if got, ok := w.rings[0].WaitingFor(); !ok || got.Peer.Worker != "w3" || got.Bucket != 0 || got.Chunk != 1 && got.Chunk != 2 {
			t.Errorf("worker w1 waits for %+v, %v; want w3", got, ok)
		}
		w.rings[2].Begin(1)
		w.rings[2].Contribute(3, [][]byte{{1}})
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.close()
	})
}

// The reason of a failure goes all round as it was, with the worker with which it began.
func TestReasonsArePassedOn(t *testing.T) {
	w := inProcessWorld(t, 5, 5, 100000, &InProcess{})
	w.rings[1].Begin(1)
	w.rings[1].Ready(1)
	w.rings[1].Close()
	for i, r := range w.rings {
		if i == 1 {
			continue
		}
		<-r.Failed()
		lost, ok := errors.AsType[*PeerLostError](r.Err())
		if !ok || lost.Culprit != "w2" || lost.Cause.Error() != "worker w2 closed its session in the middle of step 1" || !errors.Is(lost, ErrPeerClosed) {
			t.Errorf("worker %d: got %v", i, r.Err())
		}
	}
}

// A worker that has found out that a neighbour cannot be reached ends its session, and the others hear who it was.
func TestLostNeighbourIsPassedOn(t *testing.T) {
	w := inProcessWorld(t, 4, 4, 1000, &InProcess{})
	w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
	w.rings[1].Lose(w.view.Members[2], errors.New("nothing answers"))
	for i, r := range w.rings {
		_, err := oneStep(r, 2, w.view.Members[i].Arc)
		lost, ok := errors.AsType[*PeerLostError](err)
		if !ok || i != 2 && lost.Culprit != "w3" {
			t.Errorf("worker %d: got %v, want that w3 is lost", i, err)
		}
	}
}

func TestAloneAllocatesNothing(t *testing.T) {
	w := inProcessWorld(t, 4, 1, 100000, &InProcess{})
	r, step := w.rings[0], uint64(0)
	records := [][]byte{make([]byte, 64), make([]byte, 64), make([]byte, 64), make([]byte, 64)}
	allocs := testing.AllocsPerRun(20, func() {
		step++
		r.Begin(step)
		r.Ready(1)
		r.Ready(0)
		r.Contribute(0, records)
		for b := range 2 {
			if err := r.Wait(b); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Collect(0); err != nil {
			t.Error(err)
		}
		if err := r.End(step); err != nil {
			t.Error(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations a step", allocs)
	}
}

func TestCutLinkFailsBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &InProcess{}
		w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), 2, 2), 2, plan.Interval{Begin: 0, End: 90000}.Parts(1))
		w.open(t, func(int) Links { return memory })
		memory.Cut(w.view.Members[0], w.view.Members[1])
		for i, r := range w.rings {
			<-r.Failed()
			if lost, ok := errors.AsType[*PeerLostError](r.Err()); !ok || lost.Member.Worker != w.view.Members[1-i].Worker {
				t.Errorf("worker %d: got %v, want the other one lost", i, r.Err())
			}
		}
		w.close()
	})
}

func TestOpenRefusesABadPlan(t *testing.T) {
	members := cut(rand.New(rand.NewPCG(5, 5)), 3, 2)
	view := plan.View{Generation: 1, Seats: 3, Members: members}
	seats := make([][]float32, members[0].Arc.Len())
	for s := range seats {
		seats[s] = make([]float32, 10)
	}
	for name, c := range map[string]struct {
		self    int
		seats   [][]float32
		buckets []plan.Bucket
	}{
		"position":            {2, seats, nil},
		"too many seats":      {0, append(seats[:len(seats):len(seats)], make([]float32, 10)), nil},
		"uneven seats":        {0, append(seats[:len(seats)-1:len(seats)-1], make([]float32, 9), make([]float32, 10))[:len(seats)+1], nil},
		"bucket too long":     {0, seats, plan.EvenBuckets([]plan.Interval{{Begin: 0, End: 11}})},
		"overlap":             {0, seats, plan.EvenBuckets([]plan.Interval{{Begin: 0, End: 6}, {Begin: 5, End: 10}})},
		"no chunk for a seat": {0, seats, []plan.Bucket{{Interval: plan.Interval{End: 6}, Borders: []int{0, 6}}}},
		"chunks out of order": {0, seats, []plan.Bucket{{Interval: plan.Interval{End: 6}, Borders: []int{0, 4, 3, 6}}}},
	} {
		if _, err := Open(context.Background(), Identity{View: view, Self: c.self}, &InProcess{}, c.seats, c.buckets); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// A gather may be as large as the limit, however few seats share it.
func TestLargeRecordsAreGathered(t *testing.T) {
	const size = MaxGather / 2
	w := inProcessWorld(t, 2, 2, 100, &InProcess{})
	for i, r := range w.rings {
		r.Begin(1)
		record := make([]byte, size)
		record[0], record[size-1] = byte(i+1), byte(i+11)
		r.Contribute(2, [][]byte{record})
	}
	for i, r := range w.rings {
		all, err := r.Collect(2)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 2*size || all[0] != 1 || all[size-1] != 11 || all[size] != 2 || all[2*size-1] != 12 {
			t.Errorf("worker %d gathered %d bytes, or others", i+1, len(all))
		}
	}
}

func TestRecordsOfDifferentSizesAreRefused(t *testing.T) {
	w := inProcessWorld(t, 2, 2, 100, &InProcess{})
	for i, r := range w.rings {
		r.Begin(1)
		r.Contribute(2, [][]byte{make([]byte, 8+8*i)})
	}
	for _, r := range w.rings {
		if _, err := r.Collect(2); err == nil {
			t.Error("records of different sizes were gathered")
		}
	}
}
