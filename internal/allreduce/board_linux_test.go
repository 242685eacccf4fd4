package allreduce

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringmaster/internal/plan"
)

// boards is the number of boards that this process has mapped.
func boards(t *testing.T) int {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "ringmaster-board")
}

// A board needs wires all round, that nothing holds back, and workers that all want it. Its memory goes with the sessions.
func TestWhoHasABoard(t *testing.T) {
	var held atomic.Bool
	for name, c := range map[string]struct {
		options func(i int, o *Options)
		want    bool
	}{
		"wires":          {nil, true},
		"without wires":  {func(_ int, o *Options) { o.NoWires = true }, false},
		"without boards": {func(_ int, o *Options) { o.NoBoards = true }, false},
		"first without":  {func(i int, o *Options) { o.NoBoards = i == 0 }, false},
		"second without": {func(i int, o *Options) { o.NoBoards = i == 1 }, false},
		"last without":   {func(i int, o *Options) { o.NoBoards = i == 2 }, false},
		"first by gRPC":  {func(i int, o *Options) { o.NoWires = i == 0 }, false},
		"last by gRPC":   {func(i int, o *Options) { o.NoWires = i == 2 }, false},
		"one that may hold": {func(i int, o *Options) {
			if i == 1 {
				o.Dial = func(ctx context.Context, m plan.Member) (net.Conn, error) {
					conn, err := dialOver("unix")(ctx, m)
					return slow{conn, &held}, err
				}
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := wiredWorld(t, 4, 3, plan.Interval{Begin: 0, End: 100000}.Parts(2), c.options)
			for i, r := range w.rings {
				if (r.board != nil) != c.want {
					t.Errorf("worker %d: a board is %v, want %v", i, r.board != nil, c.want)
				}
			}
			w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
			if n := boards(t); c.want && n != 3 || !c.want && n != 0 {
				t.Errorf("%d boards are mapped", n)
			}
			w.close()
			if n := boards(t); n != 0 {
				t.Errorf("%d boards are left", n)
			}
		})
	}
}

// Whatever the arcs, the buckets and their chunks, and whoever writes parts before a bucket is ready: the sums are those of the plain ring.
func TestSumsOnABoard(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		seats := 2 + rng.IntN(6)
		var buckets []plan.Interval
		for at := 0; len(buckets) < 1+rng.IntN(4); {
			n := []int{0, 1 + rng.IntN(9), rng.IntN(3 * partLen)}[rng.IntN(3)]
			buckets = append(buckets, plan.Interval{Begin: at, End: at + n})
			at += n
		}
		members := cut(rng, seats, 2+rng.IntN(seats-1))
		hosts := networks["unix"](t, members, Options{})
		w := newWorld(members, seats, buckets)
		for k := range w.buckets {
			if b := &w.buckets[k]; rng.IntN(2) == 0 {
				for range seats - 1 {
					b.Borders = append(b.Borders, b.Begin+rng.IntN(b.Len()+1))
				}
				b.Borders = append(b.Borders, b.Begin, b.End)
				slices.Sort(b.Borders)
			}
		}
		w.open(t, func(i int) Links { return hosts[i].transport })
		w.tends = true
		for step := range uint64(4) {
			w.step(t, step, rng)
		}
		w.close()
	}
}

// A worker that waits at a board names one that has not written yet, wherever that one sits in the ring.
func TestWaitingAtABoard(t *testing.T) {
	w, _ := wiredWorld(t, 4, 4, plan.Interval{Begin: 0, End: 100000}.Parts(2), nil)
	done := make(chan error, 4)
	step := func(i int) {
		_, err := oneStep(w.rings[i], 4, w.view.Members[i].Arc)
		done <- err
	}
	for _, i := range []int{0, 2, 3} {
		go step(i)
	}
	for _, i := range []int{0, 2, 3} {
		for {
			wait, ok := w.rings[i].WaitingFor()
			if !ok || wait.Peer.Worker != "w2" { // before it, for one that has not come so far
				time.Sleep(time.Millisecond)
				continue
			}
			if wait.Step != 4 || wait.Doing != "receiving" || wait.Chunk != 1 {
				t.Errorf("worker %d waits for %+v", i, wait)
			}
			break
		}
	}
	if _, ok := w.rings[1].WaitingFor(); ok {
		t.Error("a worker that computes is said to wait")
	}
	go step(1)
	for range w.rings {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Records too large for the board go round the ring, and those of different sizes are refused on either way.
func TestRecordsBesideABoard(t *testing.T) {
	gathered := func(sizes ...int) (all [][]byte, err error) {
		w, _ := wiredWorld(t, 2, 2, plan.Interval{Begin: 0, End: 100}.Parts(1), nil)
		defer w.close()
		results := make(chan error, 2)
		all = make([][]byte, 2)
		for i, r := range w.rings {
			r.Begin(1)
			record := make([]byte, sizes[i])
			record[0], record[sizes[i]-1] = byte(i+1), byte(i+11)
			r.Contribute(2, [][]byte{record})
			go func() {
				records, err := r.Collect(2)
				all[i] = slices.Clone(records)
				results <- err
			}()
		}
		return all, errors.Join(<-results, <-results)
	}
	for _, size := range []int{8, boardRecord, boardRecord + 1, 100000} {
		all, err := gathered(size, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, records := range all {
			if len(records) != 2*size || records[0] != 1 || records[size-1] != 11 || records[size] != 2 || records[2*size-1] != 12 {
				t.Errorf("records of %d bytes: gathered %d, or others", size, len(records))
			}
		}
	}
	for _, sizes := range [][]int{{8, 16}, {8, boardRecord + 1}, {boardRecord + 1, boardRecord + 2}} {
		if _, err := gathered(sizes...); err == nil {
			t.Errorf("records of %v bytes were gathered", sizes)
		}
	}
}

// Memory that could become shorter, or is not what the plan says, is no board: reading it could kill this process.
func TestStrangeMemoryIsNoBoard(t *testing.T) {
	fd, err := unix.MemfdCreate("other", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 1<<16); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"not sealed": 1 << 16, "short": 1 << 17} {
		if memory, err := mapBoard(fd, size); err == nil {
			unmapBoard(memory)
			t.Errorf("%s: it was taken", name)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil {
			t.Fatal(err)
		}
	}
	memory, sealed, err := makeBoard(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer unmapBoard(memory)
	defer unix.Close(sealed)
	if err := unix.Ftruncate(sealed, 1<<12); err == nil {
		t.Error("a board was made shorter")
	}
	if _, err := mapBoard(sealed, 1<<17); err == nil {
		t.Error("a board of another size was taken")
	}
}
