package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/rpc"
)

// training hands a recorder the statuses of a training whose clock it turns.
type training struct {
	t         *testing.T
	dir       string
	now       time.Time
	histories map[string]checkpoint.History
	warned    []error
	told      []Event
	job       *config.Job
}

func newTraining(t *testing.T) *training {
	job := &config.Job{Name: "digits"}
	job.Train.Loss = config.LossCrossEntropy
	return &training{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), histories: map[string]checkpoint.History{}, job: job}
}

// record begins a launch. Nobody but take works on the recorder, so that the test sees the result of each status.
func (g *training) record(resumed bool, from uint64) *Recorder {
	g.t.Helper()
	r, err := Record(Recording{Dir: g.dir, Job: g.job, Resumed: resumed, From: from,
		History: func(folder string) (checkpoint.History, error) {
			if h, ok := g.histories[folder]; ok {
				return h, nil
			}
			return nil, errors.New("it is gone")
		},
		Warn: func(err error) { g.warned = append(g.warned, err) }, Tell: func(e Event) { g.told = append(g.told, e) },
		Now: func() time.Time { return g.now }})
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// at is the status after a step, with an epoch every 10 steps and a checkpoint at every tenth.
func (g *training) at(step uint64) *rpc.JobStatus {
	s := &rpc.JobStatus{Name: "digits", Job: "7", State: "running", Step: step, StepsTotal: 40, HasTrainLoss: true, TrainLoss: 1 / float64(step), SamplesPerS: 100,
		Views: []*rpc.ViewRecord{{Generation: 1, Workers: 2, Cause: "start", Reason: "begin", Started: true}}}
	h := checkpoint.NewHistory(false)
	for k := uint64(1); k <= step; k++ {
		h.Note(k, 1/float64(k), 0.5, 0.1, func() float64 { return 1 })
		if k%10 == 0 {
			name := checkpoint.Name{Step: k, Generation: 1, Job: 1}.Folder()
			g.histories[name] = slices.Clone(h)
			s.Checkpoints = append(s.Checkpoints, &rpc.CheckpointRecord{Step: k, Directory: name, Bytes: 9})
			s.Epochs = append(s.Epochs, &rpc.EpochRecord{Epoch: uint32(k / 10), Step: k, TrainLoss: 0.5, HasEval: true, EvalLoss: math.NaN(), EvalAccuracy: 0.25, Metrics: "f1=0.5"})
		}
	}
	return s
}

func (g *training) lines(name string) []string {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		g.t.Fatal(err)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		g.t.Errorf("%s ends within a line", name)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (g *training) kinds() string {
	var kinds []string
	for _, e := range g.told {
		kinds = append(kinds, e.Event)
	}
	return strings.Join(kinds, " ")
}

// A launch that is killed and one that goes on leave the files that one launch would have left, and no event file counts a step twice.
func TestResumesLeaveNoDoubles(t *testing.T) {
	g := newTraining(t)
	r := g.record(false, 0)
	r.take(g.at(25), false)
	g.now = g.now.Add(time.Minute)
	r.take(g.at(27), false) // and here it is killed, within a line
	f, err := os.OpenFile(filepath.Join(g.dir, EventsFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"time":"20`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	g.now = g.now.Add(time.Minute)
	r = g.record(true, 20)
	end := g.at(40)
	end.Ended, end.State, end.Digest = true, "done", []byte{0xab}
	r.See(end)
	r.Close("done", "")

	var b bytes.Buffer
	if err := New(40, g.histories[end.Checkpoints[3].Directory], epochsUntil(end, 40), g.job).WriteJSONL(&b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(g.lines(JSONLFile), "\n") + "\n"; got != b.String() {
		t.Errorf("%s is\n%s, want\n%s", JSONLFile, got, &b)
	}
	if n := len(g.lines(CSVFile)); n != 1+40+4 {
		t.Errorf("%d rows", n)
	}
	if got, want := g.kinds(), "started epoch epoch checkpoint checkpoint started epoch epoch checkpoint checkpoint finished"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	for _, line := range g.lines(EventsFile) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	g.checkBoard()
	if len(g.warned) > 0 {
		t.Errorf("warned: %v", g.warned)
	}
}

// checkBoard reads both launches' event files as TensorBoard does: a start discards what earlier files said from its step on.
func (g *training) checkBoard() {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(g.dir, BoardDir, "*"))
	if err != nil || len(files) != 2 {
		g.t.Fatalf("event files %v, %v", files, err)
	}
	steps := map[string][]uint64{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, e := range recordsOf(g.t, data) {
			if e.started {
				for tag, told := range steps {
					steps[tag] = slices.DeleteFunc(told, func(s uint64) bool { return s >= e.step })
				}
			}
			for tag := range e.scalars {
				steps[tag] = append(steps[tag], e.step)
			}
		}
	}
	for tag, want := range map[string]int{"train/loss": 40, "train/accuracy": 40, "eval/accuracy": 4, "eval/f1": 4} {
		if told := steps[tag]; len(told) != want || !slices.IsSorted(told) || len(slices.Compact(slices.Clone(told))) != want {
			g.t.Errorf("%s at steps %v, want %d", tag, told, want)
		}
	}
}

func TestNewsAreToldOnce(t *testing.T) {
	g := newTraining(t)
	n := newNews(0, 0, false)
	look := func(s *rpc.JobStatus, passes time.Duration) {
		g.now = g.now.Add(passes)
		g.told = append(g.told, n.take(s, g.now)...)
	}
	s := g.at(9)
	look(s, 0)
	look(s, time.Hour)
	s.Step++
	s.Views = append(s.Views, &rpc.ViewRecord{Generation: 2, Workers: 1, Cause: "worker lost", Reason: "w2 died", Started: true}, &rpc.ViewRecord{Generation: 3, Cause: "joined"})
	look(s, 0)
	s.Views[2].Started = true
	s.Stalled = &rpc.Stall{Worker: "w1", Reason: "w1 computes", Step: 10}
	look(s, time.Minute)
	look(s, time.Hour) // still the same stall
	s.Stalled = nil
	look(s, 0)
	s.Stalled = &rpc.Stall{Worker: "w1"}
	look(s, time.Second)
	s.State, s.Ended, s.Error = "failed", true, "w1: out of memory"
	look(s, 0)
	look(s, 0)
	if got, want := g.kinds(), "started progress worker_lost progress view stalled stalled failed"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if last := g.told[len(g.told)-1]; last.Text != "w1: out of memory" {
		t.Errorf("the end is %+v", last)
	}
}

// The record of a job's progress grows with the logarithm of its time once that is long.
func TestProgressIsThinned(t *testing.T) {
	g := newTraining(t)
	n := newNews(0, 0, false)
	s := g.at(1)
	lines := 0
	for range 7 * 24 * 3600 / 2 {
		g.now = g.now.Add(2 * time.Second)
		s.Step++
		for _, e := range n.take(s, g.now) {
			if e.Event == Progress {
				lines++
			}
		}
	}
	if lines < 1000 || lines > 10000 {
		t.Errorf("%d lines in a week", lines)
	}
}

// A disk on which nothing can be written costs the training nothing but one warning.
func TestFullDiskIsToldOnce(t *testing.T) {
	g := newTraining(t)
	r := g.record(false, 0)
	if err := os.WriteFile(filepath.Join(g.dir, BoardDir), nil, 0o600); err != nil { // no folder can be made there
		t.Fatal(err)
	}
	for step := uint64(10); step <= 40; step += 10 {
		g.now = g.now.Add(time.Minute)
		r.take(g.at(step), false)
	}
	r.Close("interrupted", "Ctrl-C")
	if len(g.warned) != 1 {
		t.Errorf("warned: %v", g.warned)
	}
	if n := len(g.lines(JSONLFile)); n != 44 {
		t.Errorf("%d lines of metrics", n)
	}
	if lines := g.lines(EventsFile); !strings.Contains(lines[len(lines)-1], `"event":"interrupted"`) {
		t.Errorf("the last event is %s", lines[len(lines)-1])
	}
}

// A line that a crash has cut short is gone before the next one is added.
func TestLinesStayWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("one\ntw"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := openLines(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"three\n", "four\n"} {
		if _, err := a.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one\nthree\nfour\n" {
		t.Errorf("%q, %v", text, err)
	}
}
