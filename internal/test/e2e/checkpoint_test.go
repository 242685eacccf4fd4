package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// checkpointed is a job that saves often.
var checkpointed = []string{"--set", "train.steps=600", "--set", "checkpoint.every_steps=50", "--set", "checkpoint.keep_last=4"}

// A launch killed by SIGKILL leaves no process behind, and the run goes on from its newest whole checkpoint.
func TestKilledLaunch(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := job{file: file, args: checkpointed}.run(t, 0)
	j := job{file: file, dir: filepath.Join(t.TempDir(), "run"), workers: 3, args: append([]string{"--coordinators", "3"}, checkpointed...)}
	l := j.start(t)
	l.until(func(*launch.Status) bool {
		whole, _ := filepath.Glob(filepath.Join(j.dir, "coordinators", "c2", "checkpoints", "*", "manifest.json"))
		return len(whole) > 0
	})
	s := l.step(1)
	l.signal(os.Kill)
	l.wait()
	if len(s.Coordinators) != 3 || len(s.Workers) != 3 {
		t.Fatalf("status %+v", s)
	}
	for _, c := range s.Coordinators {
		gone(t, c.PID)
	}
	for _, w := range s.Workers {
		gone(t, w.PID)
	}
	if after := statusOf(t, "--dir", j.dir); after == nil || after.State != "interrupted" {
		t.Errorf("the status afterwards is %+v", after)
	}
	// One coordinator's folder is enough, on another cluster.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.MkdirAll(filepath.Join(moved, "coordinators"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(j.dir, "coordinators", "c2"), filepath.Join(moved, "coordinators", "c2")); err != nil {
		t.Fatal(err)
	}
	j.dir, j.workers, j.args = moved, 2, append([]string{"--resume"}, checkpointed...)
	got := j.run(t, 0)
	if got.State != "done" || got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("came out as\n%+v\nwant\n%+v", got, want)
	}
	if got.Views[0].Step == 0 {
		t.Error("began anew, though a checkpoint stood")
	}
}

// A damaged checkpoint is named, and the one before it used.
func TestDamagedCheckpoint(t *testing.T) {
	file := config(t, "quickstart.yaml")
	half := slices.Clone(checkpointed)
	half[1] = "train.steps=300"
	half = append(half, "--set", "train.schedule.horizon=600")
	j := job{file: file, dir: filepath.Join(t.TempDir(), "run"), args: half}
	s := j.run(t, 0)
	newest := s.Checkpoints[len(s.Checkpoints)-1]
	if newest.Step != 300 || len(s.Checkpoints) < 2 {
		t.Fatalf("checkpoints %+v", s.Checkpoints)
	}
	before := s.Checkpoints[len(s.Checkpoints)-2]
	path := newest.Path
	if !filepath.IsAbs(path) {
		t.Fatalf("path %s is not absolute though --dir was", path)
	}
	files, err := filepath.Glob(filepath.Join(path, "model-*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", path, err)
	}
	rewrite(t, files[0], func(b []byte) []byte { b[len(b)-3] ^= 1; return b })

	code, out, stderr := run(t, t.TempDir(), "checkpoints", "verify", j.dir)
	if code != 1 || !strings.Contains(out, filepath.Base(files[0])) {
		t.Errorf("verify: exit code %d, %s", code, out)
	}
	oneLine(t, stderr, fmt.Sprintf("damaged: 1 of %d checkpoints", len(s.Checkpoints)))

	j.args = append(append([]string{"--resume"}, checkpointed...), "--set", "train.schedule.horizon=600")
	l := j.start(t)
	got := l.end(0)
	oneLine(t, l.stderr.String(), "step 300", filepath.Base(files[0]), "damaged", fmt.Sprintf("using step %d before it", before.Step))
	want := job{file: file, workers: 4, args: append(slices.Clone(checkpointed), "--set", "train.schedule.horizon=600")}.run(t, 0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
}

// List, verify and export, as a person and as a program sees them.
func TestCheckpoints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s := job{file: config(t, "quickstart.yaml"), dir: dir, args: []string{"--set", "train.steps=300", "--set", "checkpoint.every_steps=100"}}.run(t, 0)
	code, out, _ := run(t, t.TempDir(), "checkpoints", "list", dir, "--json")
	var list struct {
		Checkpoints []struct {
			Step   uint64 `json:"step"`
			Digest string `json:"digest"`
			Good   bool   `json:"good"`
		} `json:"checkpoints"`
	}
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	n := len(list.Checkpoints)
	if n != len(s.Checkpoints) || n < 2 || list.Checkpoints[0].Step != s.Checkpoints[0].Step || list.Checkpoints[n-1].Digest != s.Digest || !list.Checkpoints[0].Good {
		t.Errorf("%+v, want digest %s at the end", list, s.Digest)
	}
	if code, out, stderr := run(t, t.TempDir(), "checkpoints", "verify", dir); code != 0 || strings.Count(out, "good") != n {
		t.Errorf("verify: exit code %d, %s%s", code, out, stderr)
	}
	target := filepath.Join(t.TempDir(), "model.safetensors")
	if code, _, stderr := run(t, t.TempDir(), "checkpoints", "export", dir, "--out", target); code != 0 {
		t.Errorf("export: exit code %d, %s", code, stderr)
	}
	checkExport(t, target)
	checkONNX(t, dir, s.Digest)
	if code, _, stderr := run(t, t.TempDir(), "checkpoints", "export", dir, "--out", target, "--step", "11"); code != 2 {
		t.Errorf("export of a step that is not there: exit code %d", code)
	} else {
		oneLine(t, stderr, "no checkpoint at step 11", "there is one at step")
	}
	for _, test := range []struct{ target, want string }{
		{t.TempDir(), "no regular file"},
		{filepath.Join(t.TempDir(), "none", "model.safetensors"), "there is no folder"},
		{"", "--out is empty"},
	} {
		code, _, stderr := run(t, t.TempDir(), "checkpoints", "export", dir, "--out", test.target)
		if code != 2 {
			t.Errorf("export to %q: exit code %d", test.target, code)
		}
		oneLine(t, stderr, "--out", test.want)
	}
	for _, path := range s.Checkpoints { // with none left there is one line and not one for each
		rewrite(t, filepath.Join(path.Path, "manifest.json"), func(b []byte) []byte { return b[:100] })
	}
	for _, command := range []string{"eval", "predict --photo x", "checkpoints export --out x"} {
		for _, step := range []string{"", " --step 300"} {
			code, out, stderr := run(t, t.TempDir(), append(strings.Fields(command+step), dir)...)
			if code != 2 || out != "" {
				t.Errorf("%s%s of damaged checkpoints: exit code %d, stdout %q", command, step, code, out)
			}
			oneLine(t, stderr, s.Checkpoints[len(s.Checkpoints)-1].Path+": checkpoint step 300: manifest is damaged: it ends too early")
		}
	}
	code, _, stderr := run(t, t.TempDir(), "checkpoints", "list", t.TempDir())
	if code != 2 {
		t.Errorf("list of nothing: exit code %d", code)
	}
	oneLine(t, stderr, "there is no checkpoint in")
}

// checkExport reads the header of a safetensors file.
func checkExport(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int(text[0]) | int(text[1])<<8 // the header of six tensors is short
	var header map[string]struct {
		Dtype string `json:"dtype"`
		Shape []int  `json:"shape"`
	}
	if err := json.Unmarshal(text[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string][]int{"0.weight": {128, 784}, "0.bias": {128}, "2.weight": {128, 128}, "4.weight": {10, 128}, "4.bias": {10}} {
		if got := header[name]; got.Dtype != "F32" || !slices.Equal(got.Shape, shape) {
			t.Errorf("%s is %+v, want F32 %v", name, got, shape)
		}
	}
}

// Without --dir each launch of a job gets a folder of its own, and --resume finds the newest.
func TestDefaultFolders(t *testing.T) {
	cwd, file := t.TempDir(), config(t, "quickstart.yaml")
	args := append([]string{"launch", file, "--workers", "2", "--progress", "none"}, brief...)
	for range 2 {
		if code, _, stderr := run(t, cwd, args...); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	more := append(slices.Clone(args), "--resume", "--set", "train.steps=35")
	if code, _, stderr := run(t, cwd, more...); code != 0 {
		t.Fatalf("resume: exit code %d: %s", code, stderr)
	}
	for _, test := range []struct {
		run  string
		step uint64
	}{{"quickstart-1", 30}, {"quickstart-2", 35}} {
		if s := statusOf(t, "--dir", filepath.Join(cwd, launch.RunsDir, test.run)); s == nil || s.State != "done" || s.Step != test.step {
			t.Errorf("%s: %+v, want done at step %d", test.run, s, test.step)
		}
	}
	// From the folder itself, status shows the run that was launched last.
	if code, out, _ := run(t, cwd, "status"); code != 0 || !strings.Contains(out, "step 35/35") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// checkONNX exports a run as ONNX, and under a name that stands for no format.
func checkONNX(t *testing.T, dir, digest string) {
	t.Helper()
	exported := filepath.Join(t.TempDir(), "model.onnx")
	if code, out, stderr := run(t, t.TempDir(), "export", dir, "--out", exported); code != 0 || !strings.Contains(out, digest) {
		t.Errorf("export as ONNX: exit code %d, %s%s", code, out, stderr)
	}
	file, err := os.ReadFile(exported)
	if err != nil || !bytes.Contains(file, []byte(digest)) || !bytes.Contains(file, []byte("value / 255")) {
		t.Error("the ONNX file does not say which weights it has, or how pixels become inputs")
	}
	code, _, stderr := run(t, t.TempDir(), "export", dir, "--out", filepath.Join(t.TempDir(), "model.pt"))
	if code != 2 {
		t.Errorf("export to model.pt: exit code %d", code)
	}
	oneLine(t, stderr, ".pt stands for neither: name it", ".onnx")
}
