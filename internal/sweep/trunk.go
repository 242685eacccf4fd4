package sweep

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/metric"
	"ringmaster/internal/optim"
)

// Trunk is a beginning that several trials have in common and that is trained once: their jobs differ in the learning rate's schedule alone, and
// that gives the same rates up to a step. It is the first trial's training, ended there. Its number is counted among trunks.
type Trunk struct {
	Steps  uint64 `json:"steps"`
	Trials []int  `json:"trials"`           // that begin with it
	Parent int    `json:"parent,omitempty"` // the trunk that it goes on from; 0: the seed
	Outcome
}

// whole reports whether the trunk's last step is there to go on from.
func (t *Trunk) whole() bool {
	return t.over() && t.State != launch.StateFailed && t.Weights != "" && t.Step == t.Steps
}

// leastShare is the part of the shortest training, as 1/leastShare, below which a trunk saves less than its launch costs.
const leastShare = 20

// length is how far a trial's training and its schedule go.
type length struct {
	job   *config.Job // with its horizon
	bits  string      // all that the bits of a step depend on
	total uint64
}

// horizon is the setting that states the schedule's end, so that it is not taken over from a trunk.
func (l *length) horizon() string {
	return fmt.Sprintf("train.schedule.horizon=%d", l.job.Train.Schedule.Horizon)
}

// planTrunks finds what trials share.
func (s *sweep) planTrunks(trials []Trial) error {
	if !s.o.Share || s.o.Samples == nil {
		return nil
	}
	var kinds []string
	alike := map[string][]int{} // trials that differ in nothing but the schedule and the length
	for i := range trials {
		job, err := s.o.Job(trials[i].Settings())
		if err != nil {
			return err
		}
		kind := apartFromSchedule(job)
		if alike[kind] == nil {
			kinds = append(kinds, kind)
		}
		alike[kind] = append(alike[kind], i)
	}
	s.lengths = make([]length, len(trials))
	for _, kind := range kinds {
		set := alike[kind]
		if !s.schedulesDiffer(set) {
			continue
		}
		shortest := uint64(0)
		for _, i := range set {
			l, err := s.measure(&trials[i])
			if err != nil {
				return err
			}
			if s.lengths[i] = l; shortest == 0 || l.total < shortest {
				shortest = l.total
			}
		}
		s.divide(trials, set, 0, 0, shortest)
	}
	return nil
}

// apartFromSchedule is all that the bits depend on but the schedule.
func apartFromSchedule(job *config.Job) string {
	var items []config.Item
	for _, item := range job.Contract() {
		if !strings.HasPrefix(item.Key, "train.schedule.") {
			items = append(items, item)
		}
	}
	return fmt.Sprint(items)
}

// schedulesDiffer reports whether some of the trials have other schedules than the first one, or one whose rates depend on the length.
func (s *sweep) schedulesDiffer(set []int) bool {
	for _, i := range set[1:] {
		if s.courses[i].bits != s.courses[set[0]].bits || !s.courses[i].free {
			return true
		}
	}
	return false
}

func (s *sweep) measure(t *Trial) (l length, err error) {
	if l.job, err = s.o.Job(t.Settings()); err != nil {
		return l, err
	}
	samples := 0
	if l.job.Train.Steps == 0 {
		if samples, err = s.o.Samples(l.job); err != nil {
			return l, err
		}
	}
	l.job.Resolve(samples)
	l.bits, l.total = fmt.Sprint(l.job.Contract()), uint64(l.job.TotalSteps(samples))
	return l, nil
}

// divide makes a trunk of what the trials of a set share beyond a step, and looks among them for those that share more.
func (s *sweep) divide(trials []Trial, set []int, from uint64, parent int, shortest uint64) {
	first := &s.lengths[set[0]]
	common, differ := first.total, false
	for _, i := range set[1:] {
		l := &s.lengths[i]
		common = min(common, l.total)
		common = optim.Common(first.job, l.job, common)
		differ = differ || l.bits != first.bits
	}
	if !differ {
		return // one goes on from the other's end
	}
	if (common-from)*leastShare >= shortest {
		parent = s.plant(trials, set, common, parent)
		from = common
	}
	var next []optim.Update
	parts := map[optim.Update][]int{}
	for _, i := range set {
		l := &s.lengths[i]
		if l.total <= common {
			continue
		}
		rate, err := optim.NewSchedule(l.job.Train.Optimizer.LR, l.job.Train.Schedule)
		if err != nil {
			continue // its launch will say so
		}
		u := rate.At(common+1, l.job.Train.Optimizer)
		if parts[u] == nil {
			next = append(next, u)
		}
		parts[u] = append(parts[u], i)
	}
	for _, u := range next {
		if part := parts[u]; len(part) > 1 {
			s.divide(trials, part, from, parent, shortest)
		}
	}
}

// plant adds a trunk and returns its number.
func (s *sweep) plant(trials []Trial, set []int, steps uint64, parent int) int {
	t := Trunk{Steps: steps, Parent: parent, Outcome: Outcome{Trial: trials[set[0]], State: Waiting, Values: []*float64{}, Token: rand.Uint64() | 1}}
	for _, i := range set {
		t.Trials = append(t.Trials, trials[i].Number)
	}
	t.Number = len(s.report.Trunks) + 1
	t.Run = filepath.Join(s.dir, fmt.Sprintf("trunk-%03d", t.Number))
	t.Sets = append(append([]string(nil), t.Sets...), fmt.Sprintf("train.steps=%d", steps), s.lengths[set[0]].horizon())
	s.report.Trunks = append(s.report.Trunks, t)
	return t.Number
}

// levels are the trunks by how many others they go on from.
func (s *sweep) levels() (levels [][]int) {
	depth := make([]int, len(s.report.Trunks))
	for k, t := range s.report.Trunks { // a parent comes first
		if t.Parent > 0 {
			depth[k] = depth[t.Parent-1] + 1
		}
		if depth[k] == len(levels) {
			levels = append(levels, nil)
		}
		levels[depth[k]] = append(levels[depth[k]], k)
	}
	return levels
}

// grow trains a trunk, unless all its trials are over.
func (s *sweep) grow(ctx context.Context, k int) error {
	s.mu.Lock()
	t := s.report.Trunks[k]
	o, begin, needed := t.Outcome, "", false
	for _, number := range t.Trials {
		needed = needed || !s.report.Trials[number-1].over()
	}
	if t.Parent > 0 && s.report.Trunks[t.Parent-1].whole() {
		begin = s.report.Trunks[t.Parent-1].Weights
	}
	job, err := s.o.Job(o.Settings())
	if needed = needed && !o.over(); needed && err == nil {
		s.say("steps 1 to %d, which are the same in trials %s", t.Steps, strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Trials), " ", ", "), "[]"))
	}
	s.mu.Unlock()
	if err != nil || !needed {
		return err
	}
	s.name(job, "trunk", o.Number)
	summary, err := s.o.Train(ctx, &o, job, begin)
	return s.note("these steps", &s.report.Trunks[k].Outcome, &o, summary, err)
}

// trunkOf is the longest trunk that a trial can begin with, whose rule would not have ended it before; nil: there is none.
func (s *sweep) trunkOf(i int, stop *metric.Rule) (longest *Trunk) {
	for k := range s.report.Trunks {
		t := &s.report.Trunks[k]
		if !t.whole() || longest != nil && t.Steps <= longest.Steps {
			continue
		}
		for _, number := range t.Trials {
			if number == i+1 && (stop == nil || !endsWithin(&t.Outcome, stop)) {
				longest = t
			}
		}
	}
	return longest
}

// adoptTrunks takes over the trunks that an earlier call trained.
func (s *sweep) adoptTrunks(old *Report) {
	for k := range s.report.Trunks {
		if t := &s.report.Trunks[k]; k < len(old.Trunks) && old.Trunks[k].Steps == t.Steps && fmt.Sprint(old.Trunks[k].Sets, old.Trunks[k].Seed) == fmt.Sprint(t.Sets, t.Seed) {
			t.Outcome = old.Trunks[k].Outcome
		}
	}
}
