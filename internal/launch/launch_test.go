package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/logs"
	"ringmaster/internal/rpc"
	"ringmaster/internal/tether"
)

// The test binary plays the child too: RINGMASTER_TEST_CHILD says what it does.
func TestMain(m *testing.M) {
	switch os.Getenv("RINGMASTER_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "polite": // ends when asked to
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		fmt.Println("up")
		<-terminated
		fmt.Println("bye")
	case "stubborn": // does not
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up")
		select {}
	case "failing":
		fmt.Fprintln(os.Stderr, "some line\nthe reason why")
		os.Exit(7)
	case "panicking":
		panic("the reason why")
	case "starving":
		fmt.Fprintln(os.Stderr, "fatal error: runtime: out of memory\n\ngoroutine 1 [running]:")
		os.Exit(2)
	}
}

func child(t *testing.T, what string) *Child {
	t.Helper()
	parent, err := tether.NewParent()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Close() })
	c, err := startChild(what, os.Args[0], nil, []string{"RINGMASTER_TEST_CHILD=" + what}, filepath.Join(t.TempDir(), "log"), parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killChildren([]*Child{c}) })
	return c
}

// up waits until the child has said something.
func up(t *testing.T, c *Child) {
	t.Helper()
	for {
		text, err := os.ReadFile(c.Log)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\n")) || c.Ended() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStopChildren(t *testing.T) {
	polite, other := child(t, "polite"), child(t, "polite")
	up(t, polite)
	up(t, other)
	if polite.Ended() || polite.PID() == os.Getpid() {
		t.Fatal("the child does not run")
	}
	if group, err := syscall.Getpgid(polite.PID()); err != nil || group != polite.PID() {
		t.Errorf("the child is in process group %d, %v; want its own, %d", group, err, polite.PID())
	}
	// One that is stopped cannot end unless it is woken.
	if err := other.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopChildren([]*Child{polite, other}, time.Minute)
	for _, c := range []*Child{polite, other} {
		if !c.Ended() || c.err != nil || logs.LastWord(c.Log) != "bye" {
			t.Errorf("the child ended with %v and %q", c.err, logs.LastWord(c.Log))
		}
	}
	if err := polite.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a child that has ended: %v", err)
	}
}

func TestStubbornChildren(t *testing.T) {
	c := child(t, "stubborn")
	up(t, c)
	stopChildren([]*Child{c}, 10*time.Millisecond)
	if !c.Ended() || !strings.Contains(c.Failure().Error(), "signal: killed") {
		t.Errorf("the child: %v", c.Failure())
	}
}

func TestAChildsFailureSaysWhyAndNamesItsLog(t *testing.T) {
	for _, what := range []string{"failing", "panicking"} {
		c := child(t, what)
		<-c.Done()
		if text := c.Failure().Error(); !strings.Contains(text, "the reason why") || !strings.Contains(text, c.Log) || !strings.Contains(text, "exit status") ||
			strings.Contains(text, "\n") {
			t.Errorf("%s: %q", what, text)
		}
	}
	if _, err := startChild("x", filepath.Join(t.TempDir(), "none"), nil, nil, filepath.Join(t.TempDir(), "log"), mustParent(t)); err == nil || !strings.HasPrefix(err.Error(), "start x: ") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// A process that ends for lack of memory is recognised, since restarting it would not help.
func TestWhoEndsForWantOfMemoryIsToldApart(t *testing.T) {
	starving := child(t, "starving")
	<-starving.Done()
	crashed := child(t, "panicking")
	<-crashed.Done()
	killed, chosen := child(t, "polite"), child(t, "polite")
	killChildren([]*Child{killed, chosen})
	killed.killed = host.KilledForMemory() // the kernel has killed nobody meanwhile
	chosen.killed = killed.killed - 1      // and here it has
	killed.starved, chosen.starved = killed.ranOutOfMemory(), chosen.ranOutOfMemory()
	for c, want := range map[*Child]bool{starving: true, crashed: false, killed: false, chosen: true} {
		failure, remedy := c.Failure().Error(), c.remedy()
		if strings.Contains(failure, "for want of memory") != want || strings.Contains(remedy, "fewer workers") != want || !want && remedy != "" {
			t.Errorf("%s: %q, remedy %q", c.Name, failure, remedy)
		}
	}
}

func mustParent(t *testing.T) *tether.Parent {
	t.Helper()
	parent, err := tether.NewParent()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Close() })
	return parent
}

// A coordinator that cannot have its port is tried again with another one, and what has been started is stopped.
func TestPortsAreTakenMeanwhile(t *testing.T) {
	dir := Directory(t.TempDir())
	if err := os.MkdirAll(dir.path("logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	attempts := filepath.Join(t.TempDir(), "attempts")
	fake := filepath.Join(t.TempDir(), "coordinator")
	script := "#!/bin/sh\necho x >> " + attempts + "\necho 'coordinator: listen on 127.0.0.1:1: bind: address already in use' >&2\nexit 2\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Dir: dir, Threads: 1}
	c.programs.coordinator, c.programs.worker = fake, os.Args[0]
	t.Setenv("RINGMASTER_TEST_CHILD", "polite")
	err := c.Start(t.Context(), 1, 1, 1)
	if !errors.Is(err, errPortTaken) {
		t.Errorf("%v", err)
	}
	text, err := os.ReadFile(attempts)
	if err != nil || strings.Count(string(text), "x") != startAttempts {
		t.Errorf("%q attempts, want %d; %v", text, startAttempts, err)
	}
	for _, w := range c.workers {
		if !w.Ended() {
			t.Error("a worker is left behind")
		}
	}
}

// Anything else is not tried again.
func TestCoordinatorFails(t *testing.T) {
	dir := Directory(t.TempDir())
	if err := os.MkdirAll(dir.path("logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Dir: dir, Threads: 1}
	c.programs.coordinator, c.programs.worker = os.Args[0], os.Args[0]
	t.Setenv("RINGMASTER_TEST_CHILD", "failing")
	if err := c.Start(t.Context(), 1, 1, 0); err == nil || !strings.Contains(err.Error(), "c1 ended (exit status 7): the reason why") {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("RINGMASTER_TEST_CHILD", "polite")
	if err := c.Start(ended, 1, 1, 0); err == nil {
		t.Error("a cluster came up though its time was over")
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(5)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d comes twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		listener.Close()
	}
	if len(ports) != 5 {
		t.Errorf("%d ports, want 5", len(ports))
	}
}

func mustJob(t *testing.T, text string) *config.Job {
	t.Helper()
	job, err := config.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// An interrupt ends a launch that still reads its data; without one the reading's outcome counts.
func TestInterruptedWhileReading(t *testing.T) {
	interrupts, forever := make(chan os.Signal, 1), make(chan struct{})
	defer close(forever)
	interrupts <- syscall.SIGINT
	var interrupted *InterruptedError
	_, err := interruptible(interrupts, func() (*Checked, error) { <-forever; return nil, nil })
	if !errors.As(err, &interrupted) || interrupted.Signal != syscall.SIGINT {
		t.Errorf("reading without end, interrupted: %v", err)
	}
	want := &Checked{Samples: 3}
	if got, err := interruptible(interrupts, func() (*Checked, error) { return want, nil }); got != want || err != nil {
		t.Errorf("read as %+v, %v", got, err)
	}
	var usage *UsageError
	if _, err := interruptible(interrupts, func() (*Checked, error) { return nil, errors.New("no data") }); !errors.As(err, &usage) {
		t.Errorf("data that cannot be read: %v", err)
	}
}

func TestDirectories(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	if dir, err := NewestDirectory(runs, "a"); err != nil || dir != "" {
		t.Errorf("%q, %v", dir, err)
	}
	if _, err := LatestDirectory(runs); err == nil {
		t.Error("a run was found where there is none")
	}
	for _, other := range []string{"a-7b", "a-07", "a--1", "ab-9", "a"} { // none of them is a run of job a
		if err := os.MkdirAll(filepath.Join(runs, other), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"a-1", "a-2", "a-3"} {
		dir, err := NextDirectory(runs, "a")
		if err != nil || filepath.Base(string(dir)) != want {
			t.Fatalf("%s, %v, want %s", dir, err, want)
		}
	}
	job := mustJob(t, "name: a")
	for launch := 1; launch <= 2; launch++ {
		dir := Directory(filepath.Join(runs, "a-2"))
		number, err := dir.Prepare(job, CoordinatorIDs(3), WorkerIDs(2))
		if err != nil || number != launch || !dir.HoldsRun() {
			t.Errorf("launch %d, %v, want %d", number, err, launch)
		}
		for _, name := range []string{"logs", "coordinators/c3", "workers/w2", "job.yaml"} {
			if _, err := os.Stat(dir.path(name)); err != nil {
				t.Error(err)
			}
		}
	}
	// a-3 was made and never used, so a-2 is the newest that holds a run.
	if dir, err := NewestDirectory(runs, "a"); err != nil || filepath.Base(string(dir)) != "a-2" {
		t.Errorf("%s, %v", dir, err)
	}
	if dir, err := LatestDirectory(runs); err != nil || filepath.Base(string(dir)) != "a-2" {
		t.Errorf("%s, %v", dir, err)
	}
}

// Before a cluster is up there is no status; afterwards there is the last one, without process numbers.
func TestStatusOfADirectory(t *testing.T) {
	dir := Directory(t.TempDir())
	if _, err := dir.Status(t.Context(), "m"); !errors.Is(err, ErrNotUp) {
		t.Errorf("%v, want ErrNotUp", err)
	}
	part := int32(3)
	stall := &rpc.Stall{Worker: "w2", Host: "h", Step: 8, Bucket: &part, Doing: "partitioned", Peer: "w3", PeerHost: "i", SinceMs: 840, Reason: "waiting for w2 on h"}
	answer := &rpc.ClusterStatus{Job: &rpc.JobStatus{Name: "a", State: "running", Step: 7, TrainLoss: 0.5, HasTrainLoss: true, Stalled: stall},
		Coordinators: []*rpc.CoordinatorInfo{{Id: "c1", Pid: 1, Machine: "m", Leader: true}, {Id: "c2", Pid: 2, Machine: "other"}},
		Workers: []*rpc.WorkerStatus{{Id: "w1", Pid: 3, Machine: "m", Seated: true, SeatBegin: 0, SeatEnd: 4,
			Activity: &rpc.Activity{Doing: rpc.Doing_DOING_WAITING, ComputingUs: 1_500_999, WaitingUs: 2_000_000, ReadingUs: 3000, EvaluatingUs: 4000, SavingUs: 5000,
				ConnectingUs: 6000, FetchingUs: 7000, HeldUs: 8000, IdleUs: 9000},
			WaitingFor: &rpc.Waiting{Worker: "w2", Host: "h", Step: 8, Doing: "receiving", SinceMs: 4}}, {Id: "w2"}}}
	described := Describe(answer, "m")
	if described.Coordinators[0].PID != 1 || described.Coordinators[1].PID != 0 || described.Workers[0].PID != 3 || *described.Workers[0].Arc != [2]int{0, 4} {
		t.Errorf("%+v", described)
	}
	if w := described.Workers[0]; w.Doing != "waiting" || *w.Spent != (SpentStatus{1500, 2000, 3, 4, 5, 6, 7, 8, 9}) || described.Workers[1].Spent != nil {
		t.Errorf("spent: %+v, %+v", w, w.Spent)
	}
	if got, want := *described.Stalled, (StallStatus{"w2", "h", 8, &part, nil, "partitioned", "w3", "i", 840, false, "waiting for w2 on h"}); got != want {
		t.Errorf("stalled: %+v, want %+v", got, want)
	}
	for _, want := range []string{"a  running  step 7", "  waiting for w2 on h\n", "c1", "leads", "seats [0,4)", "waits 4ms for w2 on h (receiving step 8"} {
		if !strings.Contains(described.Table(), want) {
			t.Errorf("the table does not show %q:\n%s", want, described.Table())
		}
	}
	if err := dir.writeJSON("status.json", described); err != nil {
		t.Fatal(err)
	}
	last, err := dir.Status(t.Context(), "m")
	if err != nil || last.State != StateInterrupted || last.Step != 7 || last.Coordinators[0].PID != 0 || last.Workers[0].PID != 0 || last.Stalled != nil || last.TrainLoss != 0.5 {
		t.Errorf("%+v, %v", last, err)
	}
	// A launch that lives but whose cluster does not answer: the last status as it was.
	if err := dir.writeJSON("cluster.json", Endpoints{PID: os.Getpid(), Coordinators: map[string]string{"c1": "127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	if last, err = dir.Status(t.Context(), "m"); err != nil || last.State != "running" {
		t.Errorf("%+v, %v", last, err)
	}
}

// Figures that are not finite are null, lists are never null, and the job's end takes the last epoch's evaluation where it
// has none of its own.
func TestASummaryIsValidJSONWhateverTheFigures(t *testing.T) {
	began := time.Unix(1000, 0)
	status := &rpc.JobStatus{Name: "a", State: "failed", Error: "why", Seed: 1 << 63, Seats: 4, Step: 9, Epoch: 2, TrainLoss: math.NaN(), HasTrainLoss: true,
		Digest: []byte{0xab}, FirstStepUnixNs: uint64(began.Add(time.Second).UnixNano()),
		Epochs:      []*rpc.EpochRecord{{Epoch: 1, TrainLoss: math.Inf(1), HasEval: true, EvalLoss: 0.5, EvalAccuracy: 0.25}},
		Views:       []*rpc.ViewRecord{{Generation: 1, Workers: 2, Cause: "start", Started: true}, {Generation: 2, Cause: "joined"}},
		Checkpoints: []*rpc.CheckpointRecord{{Step: 5, Directory: "step-5", Bytes: 10, StalledMs: 0.5}}}
	text, err := json.Marshal(Summarize(status, "store", began, began.Add(1500*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"job":"a","state":"failed","error":"why","seed":9223372036854775808,"seats":4,"step":9,"epoch":2,"samples":0,"digest":"ab","state_digest":"",` +
		`"train_loss":null,"eval":{"loss":0.5,"accuracy":0.25},"epochs":[{"epoch":1,"train_loss":null,"eval":{"loss":0.5,"accuracy":0.25}}],"workers":0,` +
		`"wall_s":1.5,"train_s":0,"samples_per_s":0,"first_step_s":1,` +
		`"views":[{"generation":1,"workers":2,"cause":"start","reason":"","step":0,"detected_ms":0,"stalled_ms":0,"lost_steps":0}],` +
		`"checkpoints":[{"step":5,"path":"store/step-5","bytes":10,"stalled_ms":0.5}],"unsaved":[]}`
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	text, err = json.Marshal(Summarize(nil, "", began, began))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"eval":null,"epochs":[]`)) || !bytes.Contains(text, []byte(`"views":[],"checkpoints":[],"unsaved":[]}`)) {
		t.Errorf("a job that never was: %s", text)
	}
}

// A job that is done with a test loss that is not finite has failed, and says so.
func TestSummaryOfALossThatIsNotFinite(t *testing.T) {
	for _, loss := range []float64{math.NaN(), math.Inf(1), 0.5} {
		epochs := []*rpc.EpochRecord{{Epoch: 1, HasEval: true, EvalLoss: loss}}
		s := Summarize(&rpc.JobStatus{State: StateDone, Step: 9, Epochs: epochs}, "", time.Now(), time.Now())
		if failed := loss != 0.5; (s.State == StateFailed) != failed || strings.Contains(s.Error, "test loss after step 9 is not finite") != failed {
			t.Errorf("loss %v: %s, %s", loss, s.State, s.Error)
		}
	}
}

func TestOnlyNewEventsAreTold(t *testing.T) {
	epoch := &rpc.EpochRecord{Epoch: 1, TrainLoss: 0.5, HasEval: true, EvalLoss: 0.25, EvalAccuracy: 0.9}
	view := func(g uint64, reason string) *rpc.ViewRecord {
		return &rpc.ViewRecord{Generation: g, Workers: 2, Step: 10, Reason: reason, Started: true}
	}
	var e events
	if got := e.take(&rpc.JobStatus{Epochs: []*rpc.EpochRecord{epoch}}); len(got) != 0 {
		t.Errorf("what was before is told: %q", got)
	}
	if got := e.take(&rpc.JobStatus{Epochs: []*rpc.EpochRecord{epoch}, Views: []*rpc.ViewRecord{view(4, "4 workers are ready")}}); len(got) != 0 {
		t.Errorf("the first view is told: %q", got)
	}
	got := e.take(&rpc.JobStatus{Epochs: []*rpc.EpochRecord{epoch, {Epoch: 2, TrainLoss: 0.125}}, Views: []*rpc.ViewRecord{view(4, ""), view(5, "worker w1 is lost")}})
	want := "2 workers from step 10 on: worker w1 is lost|epoch 2  train loss 0.1250"
	if strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
	if epochLine(epoch, "") != "epoch 1  train loss 0.5000  test loss 0.2500  test accuracy 90.00 %" {
		t.Errorf("%q", epochLine(epoch, ""))
	}
	epoch.EvalAccuracy = math.NaN()
	if epochLine(epoch, "") != "epoch 1  train loss 0.5000  test loss 0.2500" {
		t.Errorf("without classes: %q", epochLine(epoch, ""))
	}
}

func TestSetAside(t *testing.T) {
	store := t.TempDir()
	var said strings.Builder
	for n := range 5 {
		path := filepath.Join(store, "step-1")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := setAside(path, &said); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(store, fmt.Sprintf("damaged-%d-step-1", n+1))); err != nil {
			t.Error(err)
		}
	}
	const want = "deleted damaged-1-step-1 from "
	if entries, err := os.ReadDir(store); err != nil || len(entries) != 3 || strings.Count(said.String(), "\n") != 2 || !strings.Contains(said.String(), want) {
		t.Errorf("%v, %v; said %q", entries, err, said.String())
	}
}

// The figure that a job asks to see is on the lines of its epochs and on the progress line.
func TestTheFigureToShow(t *testing.T) {
	epoch := &rpc.EpochRecord{Epoch: 1, TrainLoss: 0.5, HasEval: true, EvalLoss: 0.25, EvalAccuracy: 0.9, Metrics: "top3=0.99 f1=0.9375"}
	for show, want := range map[string][2]string{
		"":           {"epoch 1  train loss 0.5000  test loss 0.2500  test top3 99.00 %", ""},
		"f1":         {"epoch 1  train loss 0.5000  test loss 0.2500  test f1 0.9375", "test f1 0.9375"},
		"accuracy":   {"epoch 1  train loss 0.5000  test loss 0.2500  test accuracy 90.00 %", "test accuracy 90.00 %"},
		"loss":       {"epoch 1  train loss 0.5000  test loss 0.2500", "test loss 0.2500"},
		"train_loss": {"epoch 1  train loss 0.5000  test loss 0.2500", "train loss 0.5000"},
	} {
		job := &config.Job{Train: config.Train{Show: show}}
		shot := snapshot(&rpc.JobStatus{State: "running", Epochs: []*rpc.EpochRecord{epoch}}, job)
		if got := epochLine(epoch, show); got != want[0] || shot.Metric != want[1] {
			t.Errorf("show %q: %q and %q, want %q", show, got, shot.Metric, want)
		}
	}
	if shot := snapshot(&rpc.JobStatus{State: "running"}, &config.Job{Train: config.Train{Show: "loss"}}); shot.Metric != "" {
		t.Errorf("before the first epoch: %q", shot.Metric)
	}
}
