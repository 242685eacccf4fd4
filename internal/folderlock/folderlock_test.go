package folderlock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const ownedVariable = "RINGMASTER_TEST_OWNED_FOLDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(ownedVariable); path != "" { // another process of TestOwnerThatIsKilled
		if _, err := Own(path, 0); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		// A child that outlives its parent must not hold the lock on.
		child := exec.Command("sleep", "60")
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(child.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func TestFolderHasOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	first, err := Own(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Own(path, 0)
	want := fmt.Sprintf("%s is in use by process %d", path, os.Getpid())
	if taken := (*TakenError)(nil); !errors.As(err, &taken) || err.Error() != want {
		t.Errorf("a second owner: %v, want %s", err, want)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := Own(path, 0)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	defer second.Release()
}

func TestOwnerThatEndsIsWaitedFor(t *testing.T) {
	path := t.TempDir()
	first, err := Own(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(5*retry, func() { first.Release() })
	second, err := Own(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
}

func TestLockFileMaySayAnything(t *testing.T) {
	for text, want := range map[string]string{
		"": "another process", "x y": "another process", "12": "another process", strings.Repeat("9", 1000): "another process",
		"12 \x1b[31mhost": "process 12 on host \ufffd[31mhost",
	} {
		path := filepath.Join(t.TempDir(), LockName)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := owner(f); got != want {
			t.Errorf("%q says the owner is %s, want %s", text, got, want)
		}
		f.Close()
	}
}

func TestOwnerThatIsKilled(t *testing.T) {
	path := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(self)
	other.Env = append(os.Environ(), ownedVariable+"="+path)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("the other process could not own the folder: %s", rest)
	}
	defer func() {
		if p, err := os.FindProcess(child); err == nil {
			p.Kill()
		}
	}()
	_, err = Own(path, 0)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is in use by process %d", other.Process.Pid)) {
		t.Errorf("while the owner lives: %v", err)
	}
	other.Process.Kill()
	other.Wait()
	lock, err := Own(path, 0)
	if err != nil {
		t.Fatalf("after the owner was killed: %v", err)
	}
	lock.Release()
}

// Whoever looks learns who owns a folder, and takes it from nobody.
func TestHolder(t *testing.T) {
	dir := t.TempDir()
	for _, what := range []string{"no lock was ever there", "the owner has gone"} {
		if pid, _, held, err := Holder(dir); held || pid != 0 || err != nil {
			t.Errorf("%s: %d, %v, %v", what, pid, held, err)
		}
		l, err := Own(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		pid, since, held, err := Holder(dir)
		if !held || pid != os.Getpid() || time.Since(since) > time.Hour || err != nil {
			t.Errorf("owned: %d since %v, %v, %v", pid, since, held, err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
}
