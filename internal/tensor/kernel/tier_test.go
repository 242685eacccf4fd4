package kernel

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyTiersOfThisCPUCanBeSelected(t *testing.T) {
	defer Force(Current())()
	for _, tier := range Tiers() {
		if err := Select(tier.String()); err != nil || Current() != tier {
			t.Errorf("Select(%q) = %v and leaves %s", tier, err, Current())
		}
	}
	for _, name := range []string{"sse9", "GO", "tier 7"} {
		err := Select(name)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "go") {
			t.Errorf("Select(%q) = %v, want an error with the name and the choices", name, err)
		}
		if Current() != Best() {
			t.Errorf("a refused Select leaves %s", Current())
		}
	}
	if err := Select(PlainGo.String()); err != nil {
		t.Fatal(err)
	}
	if err := Select(""); err != nil || Current() != Best() {
		t.Errorf("Select of nothing = %v and leaves %s, want %s", err, Current(), Best())
	}
}

func TestDenormalsLive(t *testing.T) {
	for _, tier := range Tiers() {
		restore := Force(tier)
		if !denormalsLive() {
			t.Errorf("tier %s flushes denormal numbers", tier)
		}
		restore()
	}
}

func TestForceRestores(t *testing.T) {
	before := Current()
	for _, tier := range Tiers() {
		restore := Force(tier)
		if Current() != tier {
			t.Errorf("Force(%s) leaves %s", tier, Current())
		}
		restore()
	}
	if Current() != before {
		t.Errorf("tier %s after all were restored, want %s", Current(), before)
	}
	defer func() {
		if recover() == nil {
			t.Error("Force accepts a tier that no machine has")
		}
	}()
	Force(Tier(99))
}

// The test runs itself in a process of its own, since the variable is read at start.
func TestEnvironmentVariableForcesTheTier(t *testing.T) {
	if want := os.Getenv("KERNEL_TEST_TIER"); want != "" {
		if got := Current().String(); got != want {
			t.Errorf("the process starts with tier %s, want %s", got, want)
		}
		return
	}
	for _, c := range []struct{ value, tier string }{{"go", "go"}, {"nonsense", Best().String()}} {
		child := exec.Command(os.Args[0], "-test.run=^TestEnvironmentVariableForcesTheTier$")
		child.Env = append(os.Environ(), EnvironmentVariable+"="+c.value, "KERNEL_TEST_TIER="+c.tier)
		out, err := child.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skip("the test runs on an emulated CPU, its child would not")
		}
		if err != nil {
			t.Errorf("with %s=%s: %v\n%s", EnvironmentVariable, c.value, err, out)
		}
	}
}
