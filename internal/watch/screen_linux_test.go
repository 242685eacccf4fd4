package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringmaster/internal/rpc"
	"ringmaster/internal/ui"
)

// mode tells the test's own binary to be a program that fills the terminal.
const mode = "RINGMASTER_TEST_WATCH"

func TestMain(m *testing.M) {
	if os.Getenv(mode) == "" {
		os.Exit(m.Run())
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	by, err := Run(context.Background(), ui.Config{Dial: func() ui.Cluster { return &fake{mode: os.Getenv(mode)} }, Every: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)},
		os.Stdin, os.Stdout, signals)
	fmt.Printf("over: %v, %v\n", by, err)
}

// fake is a cluster whose job is paused by a key.
type fake struct {
	mode  string
	asked int
}

var (
	paused sync.Mutex
	state  = "running"
)

func (f *fake) Status(_ context.Context, job string) (*rpc.ClusterStatus, error) {
	f.asked++
	if job == "2" {
		return &rpc.ClusterStatus{Job: &rpc.JobStatus{Job: "2", Name: "otherjob", State: "queued", Seats: 2, Message: "it waits for its turn"}}, nil
	}
	if f.mode == "panics" && f.asked > 10 {
		panic("a broken invariant")
	}
	if f.mode == "loses" && f.asked > 10 {
		return nil, errors.New("nobody answers")
	}
	paused.Lock()
	defer paused.Unlock()
	return &rpc.ClusterStatus{Job: &rpc.JobStatus{Job: "1", Name: "somejob", State: state, Seats: 2, Step: uint64(f.asked), TrainLoss: 1 / float64(f.asked), HasTrainLoss: true},
		Workers: []*rpc.WorkerStatus{{Id: "w1", Seated: true, SeatEnd: 2, State: "training"}}}, nil
}
func (f *fake) Jobs(context.Context) ([]*rpc.JobLine, error) {
	if f.mode != "two" {
		return nil, nil
	}
	return []*rpc.JobLine{{Id: "0", Name: "oldjob", State: "done"}, {Id: "1", Name: "somejob", State: "running"}, {Id: "2", Name: "otherjob", State: "queued", Place: 1}}, nil
}
func (f *fake) Change(_ context.Context, _ string, c rpc.Change, _ int) error {
	paused.Lock()
	defer paused.Unlock()
	switch c {
	case rpc.Change_CHANGE_PAUSE:
		state = "paused"
		return nil
	case rpc.Change_CHANGE_SAVE:
		return nil
	}
	return fmt.Errorf("%v is not asked for here", c)
}
func (f *fake) Stop(context.Context, string) error { return nil }
func (f *fake) Scale(_ context.Context, _ string, workers int) error {
	return fmt.Errorf("%d is refused here", workers)
}
func (f *fake) Logs(context.Context, *rpc.LogsRequest) (*rpc.LogsReply, error) {
	return &rpc.LogsReply{}, nil
}
func (f *fake) ReadFile(context.Context, string, string, int) ([]byte, error) {
	return nil, errors.New("no checkpoint here")
}
func (f *fake) Close() error { return nil }

// terminal is a program on a pseudo terminal.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	before unix.Termios
	cmd    *exec.Cmd
	mu     sync.Mutex
	out    bytes.Buffer
}

func openTerminal(t *testing.T, how string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, master: master, slave: slave, before: settings(t, slave)}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), mode+"="+how, "TERM=xterm-256color")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			p.mu.Lock()
			p.out.Write(buffer[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		slave.Close()
		master.Close()
	})
	return p
}

func settings(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// await waits until the program has written a text again after what was there when the last await returned.
func (p *terminal) await(text string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		before, _, found := bytes.Cut(p.out.Bytes(), []byte(text))
		if found {
			p.out.Next(len(before) + len(text))
		}
		p.mu.Unlock()
		if found {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("%q does not come; there was %q", text, p.out.String())
}

func (p *terminal) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// restored waits for the program's end and checks that it left the terminal as it found it.
func (p *terminal) restored(last string) {
	p.t.Helper()
	p.await(leave)
	p.await(last)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v", err)
	}
	if after := settings(p.t, p.slave); after != p.before {
		p.t.Errorf("the terminal's settings are %+v, before %+v", after, p.before)
	}
}

// What enters and leaves the terminal's other screen.
const enter, leave = "\x1b[?1049h", "\x1b[?1049l"

func TestEveryEndRestoresTheTerminal(t *testing.T) {
	for _, c := range []struct {
		name, how string
		end       func(*terminal)
		last      string
	}{
		{"q", "runs", func(p *terminal) { p.press("q") }, "over: <nil>, <nil>"},
		{"Ctrl-C", "runs", func(p *terminal) { p.press("\x03") }, "over: interrupt, <nil>"},
		{"SIGTERM", "runs", func(p *terminal) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, "over: terminated, <nil>"},
		{"SIGHUP", "runs", func(p *terminal) { _ = p.cmd.Process.Signal(syscall.SIGHUP) }, "over: hangup, <nil>"},
		{"panic", "panics", func(*terminal) {}, "over: <nil>, internal error: a broken invariant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openTerminal(t, c.how)
			p.await(enter)
			p.await("somejob")
			c.end(p)
			p.restored(c.last)
		})
	}
}

func TestCtrlZGivesTheTerminalBackAndTakesItAgain(t *testing.T) {
	p := openTerminal(t, "runs")
	p.await("somejob")
	p.press("\x1a")
	p.await(leave)
	for settings(t, p.slave) != p.before {
		time.Sleep(5 * time.Millisecond)
	}
	// Nobody stops a process whose group has no other parent than this test's: it waits to be continued all the same. The signal is
	// sent again, since it may come before the wait.
	for i := 0; settings(t, p.slave) == p.before; i++ {
		if i == 3000 {
			t.Fatal("the terminal is not taken again")
		}
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(20 * time.Millisecond)
	}
	p.await(enter)
	p.await("somejob")
	p.press("q")
	p.restored("over: <nil>")
}

func TestKeysAskAndAct(t *testing.T) {
	p := openTerminal(t, "runs")
	p.await("somejob")
	p.press("p")
	p.await("pause somejob?")
	p.press("n")
	p.await("q quit")
	p.press("p")
	p.await("pause somejob?")
	p.press("y")
	p.await("gives its workers up")
	p.press("s")
	p.await("save somejob?")
	p.press("y")
	p.await("saves a checkpoint after its step")
	p.press("+")
	p.await("from 1 to 2 workers?")
	p.press("y")
	p.await("2 is refused here")
	p.press("q")
	p.restored("over: <nil>, <nil>")
}

func TestKeysChooseAJob(t *testing.T) {
	p := openTerminal(t, "two")
	p.await(">1 somejob")
	p.press("2")
	p.await("it waits for its turn")
	p.press("p")
	p.await("pause otherjob?")
	p.press("n")
	p.press("\t")
	p.await("somejob  running")
	p.press("q")
	p.restored("over: <nil>, <nil>")
}

func TestALostClusterIsTold(t *testing.T) {
	p := openTerminal(t, "loses")
	p.await("somejob")
	p.await("what follows is old: nobody answers")
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 22}); err != nil {
		t.Fatal(err)
	}
	p.await("what follows is old: …")
	p.press("q")
	p.restored("over: <nil>, <nil>")
}
