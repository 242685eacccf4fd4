package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/test/cost"
)

// loneLog is the log of a coordinator that is alone and leads.
type loneLog struct {
	Membership
	state *fsm.State
}

func (l *loneLog) Propose(_ context.Context, c fsm.Command) error {
	data, err := fsm.EncodeCommand(c)
	if err != nil {
		return err
	}
	if c, err = fsm.DecodeCommand(data); err != nil {
		return err
	}
	return l.state.Apply(c)
}
func (l *loneLog) Barrier(context.Context) error { return nil }
func (l *loneLog) Read(do func(*fsm.State))      { do(l.state) }
func (l *loneLog) Changed() <-chan struct{}      { return nil }
func (l *loneLog) Leading() bool                 { return true }
func (l *loneLog) Unstored() (time.Time, error)  { return time.Time{}, nil }
func (l *loneLog) Leader() (id, address string)  { return "c1", "127.0.0.1:1" }
func (l *loneLog) Replicas() []Replica {
	return []Replica{{ID: "c1", Address: "127.0.0.1:1", Votes: true}}
}

const twoSeats = "seats: 2\nmodel: {kind: mlp, layers: [784, 10]}\ntrain: {steps: 10}\n"

// leader is a server that leads a job in which w1 with incarnation 11 and w2 with incarnation 12 have a seat each.
func leader(t testing.TB) *Server {
	t.Helper()
	store, err := checkpoint.Open(disk.NewMemFS(), "store")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{ID: "c1", Log: slog.New(slog.DiscardHandler), Random: func() uint64 { return 4 }}, &loneLog{state: &fsm.State{}}, store)
	ctx := context.Background()
	if err := s.takeOver(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit(ctx, &rpc.SubmitRequest{Config: []byte(twoSeats)}); err != nil {
		t.Fatal(err)
	}
	view := plan.View{Generation: 1, Seats: 2, Members: []plan.Member{
		{Worker: "w1", Incarnation: 11, Address: "127.0.0.1:2", Arc: plan.Interval{Begin: 0, End: 1}},
		{Worker: "w2", Incarnation: 12, Address: "127.0.0.1:3", Arc: plan.Interval{Begin: 1, End: 2}}}}
	var job string
	s.log.Read(func(st *fsm.State) { job = st.Active()[0].ID })
	if err := s.log.Propose(ctx, fsm.Command{View: &fsm.ProposeView{Job: job, View: fsm.View{View: view, Orderly: true, Cause: "start"}}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// scripted is a line on which some reports come, and then nothing until it is closed.
type scripted struct {
	reports []*rpc.Report
	taken   chan struct{} // closed when the coordinator waits for another report
	closed  chan struct{}
}

func attach(s *Server, reports ...*rpc.Report) (line *scripted, ended chan error) {
	line = &scripted{reports: reports, taken: make(chan struct{}), closed: make(chan struct{})}
	ended = make(chan error, 1)
	go func() { ended <- s.Serve(context.Background(), line) }()
	return line, ended
}

func (l *scripted) Send(*rpc.Order) error { return nil }

func (l *scripted) Recv() (*rpc.Report, error) {
	if len(l.reports) == 0 {
		close(l.taken)
		<-l.closed
		return nil, io.EOF
	}
	r := l.reports[0]
	l.reports = l.reports[1:]
	return r, nil
}

// A worker may report with its own id and incarnation alone, from the first report of a line to the last.
func TestIncarnationsBelongToWorkers(t *testing.T) {
	s := leader(t)
	honest, ended := attach(s, &rpc.Report{Worker: "w3", Incarnation: 13, Host: "h3"})
	<-honest.taken
	for _, c := range []struct {
		name    string
		reports []*rpc.Report
		want    string
	}{
		{"another's incarnation", []*rpc.Report{{Worker: "thief", Incarnation: 13}}, "the incarnation 000000000000000d belongs to worker w3, not to thief"},
		{"that of a seat whose worker has not come yet", []*rpc.Report{{Worker: "thief", Incarnation: 12}}, "belongs to worker w2, not to thief"},
		{"another's on the way", []*rpc.Report{{Worker: "thief", Incarnation: 14}, {Worker: "thief", Incarnation: 13}}, "the line is worker thief's, not \"thief\"'s"},
		{"another id on the way", []*rpc.Report{{Worker: "thief", Incarnation: 15}, {Worker: "w3", Incarnation: 15}}, "the line is worker thief's, not \"w3\"'s"},
		{"no id", []*rpc.Report{{Incarnation: 16}}, "names its id and incarnation"},
		{"an id for terminals", []*rpc.Report{{Worker: "\x1b[2J", Incarnation: 16}}, "names its id and incarnation"},
		{"a host without end", []*rpc.Report{{Worker: "thief", Incarnation: 17, Host: strings.Repeat("h", 1000)}}, "too long"},
		{"ways without end", []*rpc.Report{{Worker: "thief", Incarnation: 18}, {Worker: "thief", Incarnation: 18, Ways: make([]*rpc.Way, 1<<20)}}, "too long"},
	} {
		_, refused := attach(s, c.reports...)
		if err := <-refused; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s.mu.Lock()
	if live := s.leader.Workers(time.Now()); len(live) != 1 || live[0].Worker != "w3" || live[0].Host != "h3" {
		t.Errorf("live are %v: others have claimed w3's incarnation", live)
	}
	s.mu.Unlock()
	close(honest.closed)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A process that was silent for so long that another one has taken over is told so, and its orders say nothing else from then on.
func TestReplacedProcessIsTold(t *testing.T) {
	s := leader(t)
	impatient := decide.DefaultTiming()
	impatient.Silence = -1 // everybody is silent at once
	s.mu.Lock()
	s.leader = decide.NewLeader(impatient, describeCheckpoint, time.Now().Add(-time.Minute))
	s.mu.Unlock()
	for _, process := range []uint64{13, 14} {
		line, ended := attach(s, &rpc.Report{Worker: "w3", Incarnation: process})
		<-line.taken
		defer func() {
			close(line.closed)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
	}
	s.sendAll()
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.lines[13].order; !strings.Contains(o.GetRefused(), "another process has taken over as worker w3") {
		t.Errorf("the first process's order is %v", o)
	}
	if o := s.lines[14].order; o.GetRefused() != "" || o.GetJob() == nil {
		t.Errorf("the second process's order is %v", o)
	}
}

// A worker stores the shares of its own seats alone, in the generation that trains, and none that is longer than a checkpoint.
func TestUploadsBelongToSeats(t *testing.T) {
	s := leader(t)
	var job string
	s.log.Read(func(st *fsm.State) { job = fmt.Sprintf("%016x", uint64(st.Active()[0].Incarnation)) })
	for _, c := range []struct {
		worker, directory, file string
		bytes                   uint64
		want                    codes.Code
	}{
		{"w1", "step-0000000005-g1-" + job, "model-00001-of-00002.safetensors", 100, codes.OK},
		{"w2", "step-0000000005-g1-" + job, "optim-00002-of-00002.safetensors", 100, codes.OK},
		{"w1", "step-0000000005-g1-" + job, "model-00002-of-00002.safetensors", 100, codes.PermissionDenied},
		{"w1", "step-0000000005-g1-" + job, "model-00001-of-00007.safetensors", 100, codes.PermissionDenied},
		{"w1", "step-0000000005-g1-" + job, "manifest.json", 100, codes.PermissionDenied},
		{"w3", "step-0000000005-g1-" + job, "model-00001-of-00002.safetensors", 100, codes.PermissionDenied},
		{"w1", "step-0000000005-g2-" + job, "model-00001-of-00002.safetensors", 100, codes.Unavailable},
		{"w1", "step-0000000005-g1-00000000000000aa", "model-00001-of-00002.safetensors", 100, codes.Unavailable},
		{"w1", "../elsewhere", "model-00001-of-00002.safetensors", 100, codes.InvalidArgument},
		{"w1", "step-0000000005-g1-" + job, "model-00001-of-00002.safetensors", 1 << 40, codes.InvalidArgument},
	} {
		err := s.checkUpload(c.worker, &rpc.FilePart{Directory: c.directory, Name: c.file, Bytes: c.bytes})
		if status.Code(err) != c.want {
			t.Errorf("%s stores %s/%s of %d bytes: %v, want %v", c.worker, c.directory, c.file, c.bytes, err, c.want)
		}
	}
}

// A worker that invents steps fills no disk: it may begin a few checkpoints that are not finished. Those that the log is past count no
// more, and other workers are not held up.
func TestUnfinishedUploadsAreBounded(t *testing.T) {
	s := leader(t)
	var job plan.Incarnation
	var id string
	s.log.Read(func(st *fsm.State) { job, id = st.Active()[0].Incarnation, st.Active()[0].ID })
	store := func(worker, file string, step uint64, want codes.Code) {
		t.Helper()
		folder := checkpoint.Name{Step: step, Generation: 1, Job: job}.Folder()
		err := s.checkUpload(worker, &rpc.FilePart{Directory: folder, Name: file, Bytes: 100})
		if status.Code(err) != want {
			t.Errorf("%s stores %s of step %d: %v, want %v", worker, file, step, err, want)
		}
	}
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	for step := uint64(5); step < 5+maxBegun; step++ {
		store("w1", first, step, codes.OK)
	}
	store("w1", first, 1<<60, codes.ResourceExhausted)
	store("w1", "optim-00001-of-00002.safetensors", 5, codes.OK)
	store("w2", second, 1<<60, codes.OK)
	if err := s.log.Propose(t.Context(), fsm.Command{Start: &fsm.Start{Job: id, Generation: 1, Sources: []string{"w1"}, StateDigest: []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.log.Propose(t.Context(), fsm.Command{Checkpoint: &fsm.Checkpoint{Job: id, Generation: 1, Step: 6, Bytes: 400,
		Directory: checkpoint.Name{Step: 6, Generation: 1, Job: job}.Folder()}}); err != nil {
		t.Fatal(err)
	}
	store("w1", first, 9, codes.OK)
	store("w1", first, 10, codes.OK)
	store("w1", first, 11, codes.ResourceExhausted)
}

// FuzzReports: whatever two reports say, nothing panics, the server decides, and what it costs is bounded.
func FuzzReports(f *testing.F) {
	add := func(first, second *rpc.Report) {
		a, err := proto.Marshal(first)
		b, err2 := proto.Marshal(second)
		if err := errors.Join(err, err2); err != nil {
			f.Fatal(err)
		}
		f.Add(a, b)
	}
	first := &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_READY, Fingerprint: []byte{1}}
	add(first, &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_FAILED, Failure: "x", Generation: 1})
	add(first, &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_BROKEN, Generation: 1, LostPeers: []uint64{12}, Probed: 1,
		Ways: []*rpc.Way{{Incarnation: 12, Worker: "w2", Reason: "no"}}})
	add(first, &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_TRAINING, Generation: 1, Step: 3, Epochs: []*rpc.EpochFact{{Epoch: 1, Step: 3}},
		Progress: &rpc.Progress{Step: 3, SeatMs: 1, SeatSpans: 9, RejoinGeneration: 1}, Waiting: &rpc.Waiting{Worker: "w2", Bucket: -1},
		Activity: &rpc.Activity{Doing: rpc.Doing_DOING_WAITING, SinceUs: 1 << 60, Sent: 4, Received: 5}})
	add(first, &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_SAVING, Generation: 1, Step: 10, Outcome: &rpc.Outcome{Generation: 1, Step: 10, Complete: true},
		Shares: []*rpc.ShareFact{{Generation: 1, Step: 10, Shares: 1, Holders: []string{"c1"}, File: &rpc.StoredFile{Name: "model-00001-of-00001.safetensors", Bytes: 100}}}})
	add(first, &rpc.Report{Worker: "w1", Incarnation: 11, Job: "job", Phase: rpc.Phase_PHASE_READY, Generation: 1, Leaving: true, MachineMemory: 1 << 63, JobMemory: 1 << 63, SeatMemory: 1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var one, two rpc.Report
		if proto.Unmarshal(a, &one) != nil || proto.Unmarshal(b, &two) != nil {
			return
		}
		s := leader(t)
		cost.Bound(t, len(a)+len(b), 64<<10, func() {
			line, ended := attach(s, &one, &two)
			select {
			case <-line.taken:
				_ = s.lead(context.Background()) // what it proposes may be refused
				_, _ = s.Status(context.Background(), &rpc.StatusRequest{})
				close(line.closed)
				<-ended
			case <-ended:
			}
		})
	})
}

// FuzzSubmit: whatever a request says, the answer is a job or an error, at a bounded cost.
func FuzzSubmit(f *testing.F) {
	for _, r := range []*rpc.SubmitRequest{
		{Config: []byte(twoSeats), Workers: 2, Fingerprint: []byte{1}, Files: []*rpc.DataFile{{Name: "a", Sha256: []byte{2}}}},
		{Config: []byte(strings.Repeat("[", 60_000))},
		{Config: []byte("name: |\n" + strings.Repeat("\n", 60_000))},
		{Config: []byte(twoSeats), Manifest: []byte(strings.Repeat(`{"a":`, 10_000))},
		{Config: []byte(twoSeats), Manifest: []byte(`{"version":1}`), Stop: true, Token: 9},
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r rpc.SubmitRequest
		if proto.Unmarshal(data, &r) != nil {
			return
		}
		s := leader(t)
		cost.Bound(t, len(data), 16<<10, func() {
			if reply, err := s.Submit(context.Background(), &r); err == nil && reply.Job == "" {
				t.Error("a job without an id")
			}
			_ = s.lead(context.Background())
		})
	})
}
