package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
)

// The first signal, whichever it is, stops the job gracefully. Only a second SIGINT or SIGTERM, and not one at once, ends everything.
func TestWhichSignalEndsAtOnce(t *testing.T) {
	const pause = time.Second
	for _, test := range []struct {
		name    string
		signals []os.Signal // nil: the reader goes; a second apart
		first   os.Signal
		ended   bool
	}{
		{"Ctrl-C", []os.Signal{syscall.SIGINT}, syscall.SIGINT, false},
		{"Ctrl-C twice", []os.Signal{syscall.SIGINT, syscall.SIGINT}, syscall.SIGINT, true},
		{"the terminal is lost", []os.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGHUP}, syscall.SIGHUP, false},
		{"a scheduler warns, then asks", []os.Signal{syscall.SIGUSR1, syscall.SIGUSR1, syscall.SIGTERM}, syscall.SIGUSR1, false},
		{"and insists", []os.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGTERM}, syscall.SIGUSR1, true},
		{"the reader goes", []os.Signal{nil}, syscall.SIGPIPE, false},
		{"and then Ctrl-C twice", []os.Signal{nil, syscall.SIGINT, syscall.SIGINT}, syscall.SIGPIPE, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				interrupts, unread := make(chan os.Signal), make(chan struct{})
				r := &run{o: Options{Display: quiet{}, Interrupts: interrupts, Unread: unread}, last: &rpc.JobStatus{Views: []*rpc.ViewRecord{{}}}}
				ctx, cancel := context.WithCancelCause(context.Background())
				done := make(chan struct{})
				go func() { defer close(done); r.handleSignals(ctx, cancel) }()
				for _, s := range test.signals {
					if s == nil {
						close(unread)
					} else {
						interrupts <- s
					}
					time.Sleep(pause)
				}
				cancel(nil) // which leaves the cause of an end before it
				<-done
				if ended := errors.Is(context.Cause(ctx), ErrAbandoned); ended != test.ended || r.signal != test.first {
					t.Errorf("ended at once: %v, want %v; the first signal is %v, want %v", ended, test.ended, r.signal, test.first)
				}
			})
		})
	}
}

// Ctrl-C at a pipeline ends the pipe's reader too, sometimes before it comes here: it is what counts.
func TestCtrlCAtAPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupts, unread := make(chan os.Signal, 1), make(chan struct{})
		r := &run{o: Options{Interrupts: interrupts, Unread: unread}}
		close(unread)
		time.AfterFunc(doubleSignal/2, func() { interrupts <- syscall.SIGINT })
		if s, ok := r.awaitInterrupt(t.Context()); !ok || s != syscall.SIGINT {
			t.Errorf("%v, %v", s, ok)
		}
	})
}

// The message of a run that was to be resumed and begins tells a typo in --dir from a run that has not come far.
func TestWhyARunBegins(t *testing.T) {
	dir := Directory(t.TempDir())
	for _, test := range []struct {
		dir  Directory
		want string
	}{
		{"", "no run of job a is below runs yet"},
		{Directory(dir.path("typo")), "there is no folder " + dir.path("typo") + " yet"},
		{dir, string(dir) + " holds no run yet"},
	} {
		if got := test.dir.begins("a"); !strings.HasPrefix(got, test.want) || !strings.Contains(got, "begins at step 0") {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if _, err := dir.Prepare(mustJob(t, "name: a"), CoordinatorIDs(1), WorkerIDs(1)); err != nil {
		t.Fatal(err)
	}
	step := uint64(50)
	for _, test := range []struct {
		status Status
		want   string
		saved  bool
	}{
		{Status{}, "nothing has been trained in", false},
		{Status{Step: 70}, "holds no checkpoint although step 70 was reached", false},
		{Status{Step: 70, SavedStep: &step}, "holds no checkpoint although", true},
	} {
		if err := dir.writeJSON("status.json", &test.status); err != nil {
			t.Fatal(err)
		}
		if got := dir.begins("a"); !strings.Contains(got, test.want) || dir.saved() != test.saved {
			t.Errorf("%q, want %q; saved: %v", got, test.want, dir.saved())
		}
	}
}

// A run that was killed before its first checkpoint was whole begins again under the same command line; one whose checkpoints are all
// damaged, or gone although the status says that there were some, does not.
func TestResumeWithoutAWholeCheckpoint(t *testing.T) {
	job := mustJob(t, "name: a")
	saved := uint64(50)
	for _, test := range []struct {
		name, manifest string // "": none yet
		status         Status
		want           string // of the error; "": it begins at step 0
	}{
		{"unfinished", "", Status{Step: 70}, ""},
		{"damaged", "{", Status{Step: 70, SavedStep: &saved}, "no whole checkpoint in "},
		{"damaged, and no status tells of it", "{", Status{}, "manifest is damaged"},
		{"gone", "", Status{Step: 70, SavedStep: &saved}, "no checkpoint in "},
	} {
		dir := Directory(t.TempDir())
		if _, err := dir.Prepare(job, CoordinatorIDs(1), WorkerIDs(1)); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir.Checkpoints("c1"), checkpoint.Name{Step: 50, Generation: 1, Job: 7}.Folder())
		err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "model-00001-of-00004.safetensors"), []byte("x"), 0o600), dir.writeJSON("status.json", &test.status))
		if test.manifest != "" {
			err = errors.Join(err, os.WriteFile(filepath.Join(folder, checkpoint.ManifestName), []byte(test.manifest), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		o := &Options{Job: job, Resume: true, Warnings: &said}
		origin, _, err := o.beginning(t.Context(), dir, &Checked{Job: job})
		if test.want == "" {
			if err != nil || origin != nil || !strings.Contains(said.String(), "holds no checkpoint although step 70 was reached, so the job begins at step 0 again") {
				t.Errorf("%s: %v, %v; said %q", test.name, origin, err, said.String())
			}
		} else if !errors.As(err, new(*UsageError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// A status says how long the job will take yet, and only where that is known.
func TestTimeLeft(t *testing.T) {
	job := mustJob(t, "name: a\nseats: 4\ntrain: {batch_per_seat: 8}")
	answer := &rpc.ClusterStatus{Queued: 2, Job: &rpc.JobStatus{Name: "a", State: "running", Step: 100, StepsTotal: 1100, SamplesPerS: 320, Config: job.Encode()}}
	s := Describe(answer, "")
	if s.LeftS == nil || *s.LeftS != 100 {
		t.Fatalf("time left: %v", s.LeftS)
	}
	if table := s.Table(); !strings.Contains(table, "1m40s left") || strings.Contains(table, " 0s left") || !strings.Contains(table, "2 jobs behind it") {
		t.Errorf("%s", table)
	}
	for _, state := range []string{"waiting", "done"} {
		answer.Job.State = state
		if s := Describe(answer, ""); s.LeftS != nil || strings.Contains(s.Table(), "left") {
			t.Errorf("%s: %s", state, s.Table())
		}
	}
}
