package allreduce

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"ringmaster/internal/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reference is the plain ring over seats: chunk c is the left fold g[c+1] + ... + g[c+S].
func reference(seats [][]float32, buckets []plan.Bucket) []float32 {
	n := len(seats)
	sum := make([]float32, len(seats[0]))
	for _, b := range buckets {
		for c := range n {
			for x, end := b.Chunk(c, n).Begin, b.Chunk(c, n).End; x < end; x++ {
				s := seats[(c+1)%n][x]
				for k := 2; k <= n; k++ {
					s += seats[(c+k)%n][x]
				}
				sum[x] = s
			}
		}
	}
	return sum
}

// cut divides the seats among workers at random.
func cut(rng *rand.Rand, seats, workers int) []plan.Member {
	borders := rng.Perm(seats - 1)[:workers-1]
	at := make([]bool, seats)
	for _, b := range borders {
		at[b+1] = true
	}
	var members []plan.Member
	begin := 0
	for s := 1; s <= seats; s++ {
		if s == seats || at[s] {
			i := len(members)
			members = append(members, plan.Member{Worker: fmt.Sprintf("w%d", i+1), Host: "here", Machine: "m",
				Incarnation: plan.Incarnation(rng.Uint64() | 1), Arc: plan.Interval{Begin: begin, End: s}})
			begin = s
		}
	}
	return members
}

// world is a whole ring in one process.
type world struct {
	view    plan.View
	buckets []plan.Bucket
	params  int
	flat    [][]float32 // by seat
	rings   []*Ring
	tends   bool // workers say now and then how far their gradients are final
}

func newWorld(members []plan.Member, seats int, buckets []plan.Interval) *world {
	w := &world{view: plan.View{Generation: 7, Seats: seats, Members: members}, buckets: plan.EvenBuckets(buckets)}
	if len(buckets) > 0 {
		w.params = buckets[len(buckets)-1].End
	}
	for range seats {
		w.flat = append(w.flat, make([]float32, w.params))
	}
	return w
}

func (w *world) identity(i int) Identity {
	return Identity{Cluster: 99, Job: "job", View: w.view, Self: i}
}

func (w *world) open(t testing.TB, links func(i int) Links) {
	t.Helper()
	w.rings = make([]*Ring, len(w.view.Members))
	var g errgroup.Group
	for i, m := range w.view.Members {
		g.Go(func() error {
			r, err := Open(context.Background(), w.identity(i), links(i), w.flat[m.Arc.Begin:m.Arc.End], w.buckets)
			w.rings[i] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
}

func (w *world) close() {
	var g errgroup.Group
	for _, r := range w.rings {
		if r != nil {
			g.Go(func() error { r.Close(); return nil })
		}
	}
	_ = g.Wait()
}

// fill gives every seat new numbers, of very different sizes so that the order of additions shows.
func (w *world) fill(rng *rand.Rand) {
	for _, g := range w.flat {
		for i := range g {
			u := rng.Uint32()
			g[i] = math.Float32frombits(u&0x807fffff | (120+u>>23&15)<<23)
		}
	}
}

type fataler interface{ Fatalf(string, ...any) }

// step lets every worker do one step, with a tally, and compares the sums.
func (w *world) step(t fataler, number uint64, rng *rand.Rand) {
	w.fill(rng)
	want := reference(w.flat, w.buckets)
	wantTally := make([]byte, 0, 64*w.view.Seats)
	for s := range w.view.Seats {
		wantTally = append(wantTally, record(number, s)...)
	}
	var g errgroup.Group
	for i, r := range w.rings {
		arc := w.view.Members[i].Arc
		g.Go(func() error {
			tally, err := w.oneStep(r, number, arc)
			if err != nil {
				return err
			}
			if string(tally) != string(wantTally) {
				return fmt.Errorf("worker %d: wrong tally", i)
			}
			err = same(w.flat[arc.Begin], want)
			// End has said that they may be overwritten, however far the others are.
			for s := arc.Begin; s < arc.End; s++ {
				for i := range w.flat[s] {
					w.flat[s][i] = float32(math.NaN())
				}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("step %d, arcs %v, buckets %v: %v", number, w.arcs(), w.buckets, err)
	}
}

func (w *world) oneStep(r *Ring, number uint64, arc plan.Arc) ([]byte, error) {
	if w.tends {
		return stepOf(r, number, arc, func(b *bucket) {
			for _, at := range []int{b.End, b.End - b.Len()/3, b.End - b.Len()/3, b.Begin} {
				r.Tend(at)
			}
		})
	}
	return oneStep(r, number, arc)
}

func oneStep(r *Ring, number uint64, arc plan.Arc) ([]byte, error) {
	return stepOf(r, number, arc, func(*bucket) {})
}

func stepOf(r *Ring, number uint64, arc plan.Arc, fill func(b *bucket)) ([]byte, error) {
	r.Begin(number)
	var local [][]byte
	for s := arc.Begin; s < arc.End; s++ {
		local = append(local, record(number, s))
	}
	if number%2 == 0 {
		r.Contribute(1, local)
	}
	for b := len(r.buckets) - 1; b >= 0; b-- {
		fill(&r.buckets[b])
		r.Ready(b)
	}
	if number%2 == 1 {
		r.Contribute(1, local)
	}
	for b := len(r.buckets) - 1; b >= 0; b-- {
		if err := r.Wait(b); err != nil {
			return nil, err
		}
	}
	tally, err := r.Collect(1)
	if err != nil {
		return nil, err
	}
	return tally, r.End(number)
}

func (w *world) arcs() (arcs []plan.Arc) {
	for _, m := range w.view.Members {
		arcs = append(arcs, m.Arc)
	}
	return arcs
}

func record(step uint64, seat int) []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(int(step)*31 + seat*7 + i)
	}
	return b
}

func same(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("element %d: got %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

// drawBuckets makes buckets of all kinds of lengths: empty, fewer elements than seats, odd, small enough to travel raw, and not.
func drawBuckets(t *rapid.T) []plan.Interval {
	lengths := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 3000), rapid.IntRange(4000, 60000)), 1, 4).Draw(t, "lengths")
	var buckets []plan.Interval
	at := 0
	for _, n := range lengths {
		buckets = append(buckets, plan.Interval{Begin: at, End: at + n})
		at += n
	}
	return buckets
}

func TestSumsAreThoseOfTheRingOverSeats(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seats := rapid.IntRange(1, 9).Draw(rt, "seats")
		workers := rapid.IntRange(1, seats).Draw(rt, "workers")
		seed := rapid.Uint64().Draw(rt, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(cut(rng, seats, workers), seats, drawBuckets(rt))
		for k := range w.buckets {
			if b := &w.buckets[k]; rapid.Bool().Draw(rt, "uneven") {
				for range seats - 1 {
					b.Borders = append(b.Borders, b.Begin+rng.IntN(b.Len()+1))
				}
				b.Borders = append(b.Borders, b.Begin, b.End)
				slices.Sort(b.Borders)
			}
		}
		memory := &InProcess{Depth: rapid.IntRange(1, 3).Draw(rt, "depth")}
		w.open(t, func(int) Links { return memory })
		defer w.close()
		for step := uint64(5); step < 8; step++ {
			w.step(rt, step, rng)
		}
	})
}
