//go:build netns

package netns

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

var seed = flag.Uint64("seed", 1, "draws where, when, how and for how long the network breaks")

const (
	jobFile = "../../../configs/quickstart.yaml"
	// A step of four workers takes about 50 ms at this rate, so that a training lasts long enough to be disturbed.
	rate  = "100mbit"
	steps = 600
	// The number of steps between checkpoints.
	saveEvery = 50
	// afterwards bounds the rest of a training once the network is whole again.
	afterwards = 2 * time.Minute
)

func jobSets(steps int) []string {
	return []string{fmt.Sprintf("train.steps=%d", steps), fmt.Sprintf("checkpoint.every_steps=%d", saveEvery)}
}

// undisturbed is the digest of the same job on one worker without any network.
func undisturbed(steps int) (string, error) {
	digests.Lock()
	defer digests.Unlock()
	if digests.of[steps] == "" {
		digest, err := train(jobSets(steps))
		if err != nil {
			return "", err
		}
		digests.of[steps] = digest
	}
	return digests.of[steps], nil
}

var digests = struct {
	sync.Mutex
	of map[int]string
}{of: map[int]string{}}

func train(sets []string) (string, error) {
	dir, err := os.MkdirTemp("", "ringmaster-undisturbed-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	summary := filepath.Join(dir, "summary.json")
	args := []string{"launch", jobFile, "--workers", "1", "--dir", filepath.Join(dir, "run"), "--summary", summary, "--progress", "none"}
	for _, set := range sets {
		args = append(args, "--set", set)
	}
	if out, err := exec.Command(filepath.Join(programs, "ringmaster"), args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the undisturbed run: %w: %s", err, out)
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return "", err
	}
	var s launch.Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return "", err
	}
	return s.Digest, nil
}

// fault breaks the network of a cluster that trains and returns what mends it, and says what it did.
type fault func(r *rand.Rand, c *cluster, leader *node) (heal func(), what string)

// faults are the kinds of partitions. Each one is drawn from the seed.
var faults = []struct {
	name  string
	do    fault
	blind bool // nobody leads meanwhile, so nobody can be asked how far the training is
	short bool // among the short tests
}{
	{"a worker from the leader", func(r *rand.Rand, c *cluster, leader *node) (func(), string) {
		w := elsewhere(r, c.workers, leader.host)
		how := anyManner(r)
		return c.net.cut(between([]string{w.ip}, []string{leader.ip}), how), fmt.Sprintf("%s from %s, %s", w.id, leader.id, how)
	}, false, false},
	{"a worker to the leader", func(r *rand.Rand, c *cluster, leader *node) (func(), string) {
		w := elsewhere(r, c.workers, leader.host)
		return c.net.cut([]way{{w.ip, leader.ip}}, silently), fmt.Sprintf("%s to %s", w.id, leader.id)
	}, false, false},
	{"the leader to a worker", func(r *rand.Rand, c *cluster, leader *node) (func(), string) {
		w := elsewhere(r, c.workers, leader.host)
		return c.net.cut([]way{{leader.ip, w.ip}}, silently), fmt.Sprintf("%s to %s", leader.id, w.id)
	}, false, false},
	{"a worker to a worker", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		a := c.workers[r.IntN(len(c.workers))]
		b := elsewhere(r, c.workers, a.host)
		return c.net.cut([]way{{a.ip, b.ip}}, silently), fmt.Sprintf("%s to %s", a.id, b.id)
	}, false, true},
	{"a minority with the leader", func(r *rand.Rand, c *cluster, leader *node) (func(), string) {
		var minority, rest []string
		for _, s := range c.net.stations {
			if s.host == leader.host {
				minority = append(minority, s.ip)
			} else {
				rest = append(rest, s.ip)
			}
		}
		how := anyManner(r)
		return c.net.cut(between(minority, rest), how), fmt.Sprintf("%s with %s from the rest, %s", leader.host, leader.id, how)
	}, false, false},
	{"workers in halves", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		how := anyManner(r)
		return c.net.cut(between(ips(c.workers[:2]), ips(c.workers[2:])), how), fmt.Sprintf("w1 w2 from w3 w4, %s", how)
	}, false, true},
	{"the leader from the coordinators", func(r *rand.Rand, c *cluster, leader *node) (func(), string) {
		rest := slices.DeleteFunc(slices.Clone(c.coordinators), func(n *node) bool { return n == leader })
		how := anyManner(r)
		return c.net.cut(between([]string{leader.ip}, ips(rest)), how), fmt.Sprintf("%s from the other coordinators, %s", leader.id, how)
	}, false, false},
	{"all coordinators from each other", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		all := ips(c.coordinators)
		how := anyManner(r)
		return c.net.cut(append(between(all[:1], all[1:]), between(all[1:2], all[2:])...), how), fmt.Sprintf("all coordinators, %s", how)
	}, true, false},
	{"a host's link", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		host := c.coordinators[r.IntN(len(c.coordinators))].host
		return c.net.takeDown(host), fmt.Sprintf("the link of %s is down", host)
	}, false, false},
	{"a pair of workers", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		a := c.workers[r.IntN(len(c.workers))]
		b := elsewhere(r, c.workers, a.host)
		how := anyManner(r)
		return c.net.cut(between([]string{a.ip}, []string{b.ip}), how), fmt.Sprintf("%s from %s, %s", a.id, b.id, how)
	}, false, false},
	{"a worker from the other workers", func(r *rand.Rand, c *cluster, _ *node) (func(), string) {
		w := c.workers[r.IntN(len(c.workers))]
		rest := slices.DeleteFunc(slices.Clone(c.workers), func(n *node) bool { return n == w })
		return c.net.cut(between([]string{w.ip}, ips(rest)), silently), fmt.Sprintf("%s from the other workers, %s", w.id, silently)
	}, false, false},
}

func anyManner(r *rand.Rand) manner { return []manner{silently, refusing}[r.IntN(2)] }

// elsewhere draws one of the nodes that are on another host.
func elsewhere(r *rand.Rand, nodes []*node, not string) *node {
	others := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.host == not })
	return others[r.IntN(len(others))]
}

func ips(nodes []*node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.ip)
	}
	return all
}

// goesOn is how long the ring may stand still when the network breaks. It takes less than 3 s on an idle machine.
const goesOn = 7 * time.Second

// slowStep is how long a step takes at the most where nothing holds it up.
const slowStep = 500 * time.Millisecond

// However the network breaks, and heals after some seconds, one ring goes on and reaches the bits of a run that nothing
// disturbed.
func TestOneRingGoesOnHoweverTheNetworkBreaks(t *testing.T) {
	steps, atLeast := steps, 9*time.Second
	if testing.Short() {
		steps, atLeast = 300, 5*time.Second
	}
	want, err := undisturbed(steps)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if testing.Short() && !f.short {
				t.Skip("not among the short ones")
			}
			t.Parallel() // they mostly wait for the network
			r := rand.New(rand.NewPCG(*seed, uint64(i)))
			c := newCluster(t, rate)
			c.start(slices.Concat(c.coordinators, c.workers)...)
			c.leader()
			j := c.submit(jobFile, jobSets(steps)...)
			j.reach(uint64(40+r.IntN(60)), patience)
			leader := c.leader()
			began := time.Now()
			heal, what := f.do(r, c, leader)
			lasts := atLeast + time.Duration(r.IntN(3000))*time.Millisecond
			j.watch(lasts)
			within, still := j.standstill(began), j.still()
			heal()
			s := j.end(afterwards)
			check(t, c, j, s, steps, want)
			// Whatever is cut, some workers reach each other and a majority of the coordinators: training goes on meanwhile.
			if done := j.jump(began); f.blind && done < uint64(lasts/slowStep) {
				t.Errorf("%s: only %d steps were done in %v", what, done, lasts)
			} else if !f.blind && (within > goesOn || still > goesOn/2) {
				t.Errorf("%s: the ring stood still for %v while cut, and for %v when that ended; views:%s", what, within, still, views(s))
			}
			t.Logf("%s for %v: longest standstill %v while cut, %v in all; %.1f s; views:%s", what, lasts,
				within.Round(100*time.Millisecond), j.standstill(began).Round(100*time.Millisecond), float64(s.WallS), views(s))
		})
	}
}

// check holds a run that was disturbed against one that was not.
func check(t *testing.T, c *cluster, j *training, s *launch.Summary, steps int, want string) {
	t.Helper()
	for _, second := range j.rings() {
		t.Errorf("two rings: %s\n%s", second, c.logs())
	}
	if s.State != launch.StateDone || s.Step != uint64(steps) || s.Digest != want {
		t.Errorf("came out %s at step %d with digest %s, want %s\n%s", s.State, s.Step, s.Digest, want, c.logs())
	}
	for i, v := range s.Views {
		if v.LostSteps != 0 {
			t.Errorf("view %d lost %d steps: %s", v.Generation, v.LostSteps, v.Reason)
		}
		// One ring went on: each view begins where the one before it ended, or later.
		if i > 0 && (v.Generation <= s.Views[i-1].Generation || v.Step < s.Views[i-1].Step) {
			t.Errorf("view %d began at step %d behind view %d at step %d", v.Generation, v.Step, s.Views[i-1].Generation, s.Views[i-1].Step)
		}
	}
	if t.Failed() {
		t.Logf("views:%s", views(s))
	}
}

func views(s *launch.Summary) string {
	out := ""
	for _, v := range s.Views {
		out += fmt.Sprintf("\n  %d: %d workers, step %d, %s (%s), detected %.0f ms, stalled %.0f ms", v.Generation, v.Workers, v.Step, v.Cause, v.Reason,
			float64(v.DetectedMs), float64(v.StalledMs))
	}
	return out
}
