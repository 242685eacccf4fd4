package tether

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays the parent and the child too.
const role = "TETHER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "parent":
		playParent()
	case "child":
		playChild()
	default:
		os.Exit(m.Run())
	}
}

// sleep never returns. The runtime would take select{} for a deadlock where nothing else goes on, and end the process.
func sleep() {
	for {
		time.Sleep(time.Hour)
	}
}

// playChild says that it runs and ends only with its parent: its standard input never ends.
func playChild() {
	if err := Watch(func() { os.Exit(0) }); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, left := os.LookupEnv(variable); left {
		fmt.Println(variable + " is still set")
		os.Exit(1)
	}
	fmt.Println("up")
	sleep()
}

// playParent starts two children whose output is its own and waits to be killed.
func playParent() {
	parent, err := NewParent()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), role+"=child")
		cmd.Stdout = os.Stdout
		Bind(cmd, parent)
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	sleep()
}

// A parent killed by SIGKILL takes its children along: all copies of the pipe they write to are closed.
func TestChildrenEndWithAKilledParent(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=parent")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	for range 2 {
		if line, err := out.ReadString('\n'); err != nil || line != "up\n" {
			t.Fatalf("a child says %q, %v", line, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// This read returns when the last child has ended, and hangs if one does not.
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("after the parent's death: %q, %v", rest, err)
	}
	var killed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the parent ended with %v, not by SIGKILL", err)
	}
}

// Closing the parent's end ends the children as the parent's death does.
func TestClosingTheParentsEndEndsTheChildren(t *testing.T) {
	parent, err := NewParent()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=child")
	Bind(cmd, parent)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
}

func TestWatchWithoutAParent(t *testing.T) {
	if err := Watch(func() { t.Error("called") }); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "x", "2", "-1", "60000"} {
		t.Setenv(variable, bad)
		err := Watch(func() { t.Error("called") })
		if err == nil || !strings.Contains(err.Error(), variable+"="+bad) {
			t.Errorf("%q gives %v", bad, err)
		}
	}
}
