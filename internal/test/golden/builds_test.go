package golden

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// builds are the other ways to compile this package's test for. The compiler fuses products with sums for some of them and
// not for others, and each has kernels of its own. emulator is needed where the machine is not of that architecture.
var builds = []struct {
	name, arch, level, tags, emulator string
}{
	{"amd64 v1", "amd64", "v1", "", "qemu-x86_64-static"},
	{"amd64 v3", "amd64", "v3", "", "qemu-x86_64-static"},
	{"arm64", "arm64", "", "", "qemu-aarch64-static"},
	{"purego", runtime.GOARCH, "", "purego", ""}, // without assembly
}

// inside says to the test that is built and run by TestGoldenDigestOfOtherBuilds that it is the inner one.
const inside = "RINGMASTER_GOLDEN_INSIDE"

// runInside runs the inner tests in two processes at the same time, since an emulator takes long, and returns what both print.
func runInside(t *testing.T, command []string) []byte {
	t.Helper()
	tests := []string{"^TestGolden(Digest|Augmentation)$", "^TestGoldenFamilies$"}
	outs, errs := make([][]byte, len(tests)), make([]error, len(tests))
	var running sync.WaitGroup
	for i, name := range tests {
		args := append(slices.Clone(command[1:]), "-test.run="+name, "-test.short", "-test.v")
		running.Go(func() {
			run := exec.Command(command[0], args...)
			run.Env = append(os.Environ(), inside+"=1")
			outs[i], errs[i] = run.CombinedOutput()
		})
	}
	running.Wait()
	out := bytes.Join(outs, nil)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	return out
}

// TestGoldenDigestOfOtherBuilds compiles TestGoldenDigest, TestGoldenFamilies and TestGoldenAugmentation for other levels of amd64 and for arm64 and runs it there.
func TestGoldenDigestOfOtherBuilds(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Skip("this is one of the other builds")
	}
	if testing.Short() {
		t.Skip("compiles everything four times")
	}
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			var command []string
			if b.arch != runtime.GOARCH {
				emulator, err := exec.LookPath(b.emulator)
				if err != nil {
					t.Skipf("not checked: %s is not installed (Debian: apt-get install qemu-user-static)", b.emulator)
				}
				command = append(command, emulator)
			}
			binary := filepath.Join(t.TempDir(), "golden.test")
			build := exec.Command("go", "test", "-tags", b.tags, "-c", "-o", binary, ".")
			build.Env = append(os.Environ(), "GOARCH="+b.arch, "GOAMD64="+b.level, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", build, err, out)
			}
			out := runInside(t, append(command, binary))
			if !strings.Contains(string(out), "--- PASS: TestGoldenDigest/go/1") {
				t.Errorf("the inner test did not train:\n%s", out)
			}
			for _, f := range families {
				if !strings.Contains(string(out), "--- PASS: TestGoldenFamilies/"+strings.ReplaceAll(f.name, " ", "_")+"/go/1") {
					t.Errorf("the inner test did not train a %s:\n%s", f.name, out)
				}
			}
			if b.tags == "purego" && strings.Count(string(out), "TestGoldenDigest/") != strings.Count(string(out), "TestGoldenDigest/go/") {
				t.Errorf("there is more than plain Go:\n%s", out)
			}
		})
	}
}
