package decide

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// paced is a leader and workers of which only the speeds matter: what they report is drawn around what is true.
type paced struct {
	t       *testing.T
	state   *fsm.State
	leader  *Leader
	now     time.Time
	random  *rand.Rand
	workers int
	moves   int
}

func newPaced(t *testing.T, random *rand.Rand, seats, workers int) *paced {
	p := &paced{t: t, state: &fsm.State{Cluster: 1}, now: time.Unix(1000, 0), random: random, workers: workers}
	p.leader = NewLeader(DefaultTiming(), nil, p.now)
	p.leader.SetVoters([]string{"c1"})
	p.apply(fsm.Command{Submit: &fsm.Submit{ID: "job", Incarnation: 7, Name: "job", Seats: seats, Workers: workers, Fingerprint: []byte("data")}})
	for k := range workers {
		if _, err := p.leader.Attach(p.state, p.report(k), p.now); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *paced) report(k int) *rpc.Report {
	name := fmt.Sprintf("w%d", k+1)
	return &rpc.Report{Worker: name, Host: "host-" + name, Incarnation: uint64(k + 1), Job: "job", Fingerprint: []byte("data"),
		Generation: uint64(p.state.Active()[0].Generation), Phase: rpc.Phase_PHASE_READY, StateDigest: []byte("state")}
}

func (p *paced) apply(c fsm.Command) {
	if err := p.state.Apply(c); err != nil {
		p.t.Fatal(err)
	}
}

// live lets a tenth of a second pass again and again, with a report of every worker in each: what a seat takes it, as
// measured says.
func (p *paced) live(d time.Duration, speed func(k int) float64, measured func(k int, ms float64) float64) {
	for until := p.now.Add(d); p.now.Before(until); p.now = p.now.Add(reportInterval) {
		step := 0.0
		for k, n := range p.seats() {
			step = max(step, float64(n)*speed(k))
		}
		for k := range p.workers {
			r := p.report(k)
			if p.state.Active()[0].Running() {
				r.Phase, r.StateDigest = rpc.Phase_PHASE_TRAINING, nil
				r.Progress = &rpc.Progress{Step: 5, StepsTotal: 1 << 30, StepMs: step + 5, SeatMs: measured(k, speed(k)), SeatSpans: 1}
			}
			if !p.leader.Observe(r, p.now) {
				p.t.Fatalf("worker %s is not attached", r.Worker)
			}
		}
		p.decide()
	}
}

func (p *paced) decide() {
	for {
		d := p.leader.Next(p.state, p.now)
		if d.Command == nil {
			return
		}
		if v := d.Command.View; v != nil && v.View.Cause == causeRebalanced {
			p.moves++
		}
		p.apply(*d.Command)
		p.leader.Confirm(d, p.now)
		if d.Command.View != nil {
			return // its members report to it first
		}
	}
}

// seats are the members' numbers of seats.
func (p *paced) seats() []int {
	j := p.state.Active()[0]
	if j.View == nil {
		return nil
	}
	counts := make([]int, len(j.View.Members))
	for k, m := range j.View.Members {
		counts[k] = m.Arc.Len()
	}
	return counts
}

// eachSeed runs a test on some seeds.
func eachSeed(t *testing.T, test func(t *testing.T, random *rand.Rand)) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { test(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// TestNoiseMovesNothing: workers of one speed, figures that jump about by a tenth and now and then by far more.
func TestNoiseMovesNothing(t *testing.T) {
	eachSeed(t, func(t *testing.T, random *rand.Rand) {
		p := newPaced(t, random, 8+random.IntN(17), 2+random.IntN(5))
		p.live(5*time.Minute, func(int) float64 { return 20 }, func(_ int, ms float64) float64 {
			if p.random.IntN(50) == 0 {
				return ms * 4
			}
			return ms * (1 + 0.1*(2*p.random.Float64()-1))
		})
		if p.moves > 0 {
			t.Fatalf("seats moved %d times", p.moves)
		}
	})
}

// TestStragglerIsFoundOnce: whatever the workers' speeds are, seats move a few times at most, and are then distributed about as well
// as they can.
func TestStragglerIsFoundOnce(t *testing.T) {
	eachSeed(t, func(t *testing.T, random *rand.Rand) {
		seats, workers := 8+random.IntN(17), 2+random.IntN(4)
		speeds := make([]float64, workers)
		seatable := make([]plan.Seatable, workers)
		for k := range speeds {
			speeds[k] = float64(10 + random.IntN(50))
			seatable[k] = plan.Seatable{Ms: speeds[k], Limit: seats}
		}
		p := newPaced(t, random, seats, workers)
		p.live(2*time.Minute, func(k int) float64 { return speeds[k] }, func(_ int, ms float64) float64 {
			return ms * (1 + 0.05*(2*p.random.Float64()-1))
		})
		best, _ := plan.Apportion(seats, seatable)
		got, want := plan.Slowest(speeds, p.seats()), plan.Slowest(speeds, best)
		if p.moves > 2 || got > 1.2*want {
			t.Fatalf("%d moves, seats %v at %v ms each: %v ms, where %v would take %v", p.moves, p.seats(), speeds, got, best, want)
		}
	})
}

// TestMovesAreBounded: figures that turn against every move, as on a machine whose workers share its cores. Each hold
// doubles, so the moves in an hour can be counted.
func TestMovesAreBounded(t *testing.T) {
	p := newPaced(t, rand.New(rand.NewPCG(1, 1)), 12, 2)
	p.live(time.Hour, func(k int) float64 {
		if counts := p.seats(); counts != nil && counts[k]+k > counts[1-k] {
			return 40
		}
		return 20
	}, func(_ int, ms float64) float64 { return ms })
	if p.moves < 10 || p.moves > 6+30 {
		t.Errorf("seats moved %d times in an hour", p.moves)
	}
	t.Logf("seats moved %d times in an hour", p.moves)
}
