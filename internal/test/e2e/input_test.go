package e2e

import (
	"compress/gzip"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// digits writes a small data set of IDX files: images and labels for training and test.
func digits(t *testing.T, images, labels int, label byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"train", "t10k"} {
		pixels := make([]byte, images*784)
		for i := range pixels {
			pixels[i] = byte(i * 7 % 251)
		}
		classes := make([]byte, labels)
		for i := range classes {
			classes[i] = byte(i % 10)
		}
		classes[labels-1] = label
		writeIDX(t, filepath.Join(dir, part+"-images-idx3-ubyte"), []int{images, 28, 28}, pixels)
		writeIDX(t, filepath.Join(dir, part+"-labels-idx1-ubyte"), []int{labels}, classes)
	}
	return dir
}

func writeIDX(t *testing.T, path string, shape []int, values []byte) {
	t.Helper()
	text := []byte{0, 0, 8, byte(len(shape))}
	for _, n := range shape {
		text = binary.BigEndian.AppendUint32(text, uint32(n))
	}
	if err := os.WriteFile(path, append(text, values...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes a file.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Bad input is one line that says what, where and what to do, exit code 2, and nothing is started.
func TestBadInput(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mnist, quick := write("mnist.yaml", "name: m\ndata: {kind: mnist, dir: nowhere}\n"), config(t, "quickstart.yaml")
	truncated, oversize, outOfRange, unequal := digits(t, 20, 20, 9), digits(t, 20, 20, 9), digits(t, 20, 20, 10), digits(t, 20, 19, 9)
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(truncated, "train-images-idx3-ubyte"), func(b []byte) []byte { return b[:len(b)-1] })
	rewrite(t, filepath.Join(oversize, "train-labels-idx1-ubyte"), func(b []byte) []byte { return append(b, 0) })
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"no file", []string{"none.yaml"}, []string{"cannot read the job file", "none.yaml"}},
		{"unknown key", []string{write("a.yaml", "train:\n    epoch: 3\n")}, []string{"a.yaml:2:5: unknown key train.epoch; did you mean epochs?"}},
		{"duplicate key", []string{write("b.yaml", "seed: 1\nseed: 2\n")}, []string{"b.yaml:2:1: duplicate key seed"}},
		{"wrong type", []string{write("c.yaml", "seats: four\n")}, []string{"c.yaml:1:8: seats must be a whole number", "four"}},
		{"two problems", []string{write("d.yaml", "seats: 0\nname: [1]\n")}, []string{"d.yaml:1:8: seats", "d.yaml:2:7: name"}},
		{"not YAML", []string{write("e.yaml", "model: [1\n")}, []string{"e.yaml:1:8: is not YAML"}},
		{"seats", []string{quick, "--set", "seats=0"}, []string{"--set seats=0: seats must be from 1 to 1024, not 0"}},
		{"unknown key by flag", []string{quick, "--set", "seat=3"}, []string{"--set seat=3: unknown key seat; did you mean seats?"}},
		{"more workers than seats", []string{quick, "--workers", "5"}, []string{"quickstart.yaml:5:8: --workers 5", "seats: 4"}},
		{"no workers", []string{quick, "--workers", "0"}, []string{"--workers", "at least 1"}},
		{"too many threads", []string{quick, "--threads", "100000"}, []string{"--threads must be at most 1024, not 100000"}},
		{"two coordinators", []string{quick, "--coordinators", "2"}, []string{"--coordinators must be 1, 3 or 5, not 2"}},
		{"input that does not fit", []string{write("f.yaml", "model: {layers: [700, 10]}\n")}, []string{"f.yaml:1:17: model.layers", "700", "784"}},
		{"classes that do not fit", []string{write("g.yaml", "model: {layers: [784, 9]}\n")}, []string{"g.yaml:1:17: model.layers", "9", "10"}},
		{"no data folder", []string{mnist}, []string{"mnist.yaml:2:26:", "nowhere"}},
		{"no data files", []string{mnist, "--set", "data.dir=" + folder}, []string{folder, "train-images-idx3-ubyte"}},
		{"truncated", []string{mnist, "--set", "data.dir=" + truncated}, []string{"train-images-idx3-ubyte"}},
		{"oversize", []string{mnist, "--set", "data.dir=" + oversize}, []string{"train-labels-idx1-ubyte"}},
		{"one class more than the model has", []string{mnist, "--set", "data.dir=" + outOfRange}, []string{"model.layers", "11"}},
		{"counts differ", []string{mnist, "--set", "data.dir=" + unequal}, []string{"20", "19"}},
		{"a pipe for data", []string{write("h.yaml", "model: {kind: gpt}\ndata: {kind: text, dir: "+pipe+"}\n")}, []string{"h.yaml:2:25:", pipe + " cannot be read: it is a pipe"}},
		{"summary where there is no folder", []string{quick, "--summary", filepath.Join(folder, "none", "s.json")}, []string{"--summary", "there is no folder"}},
		{"summary over the job", []string{mnist, "--summary", mnist}, []string{"--summary " + mnist + " is the job's file"}},
		{"summary into a folder", []string{quick, "--summary", folder}, []string{"--summary", "is no regular file"}},
		{"folder of a run that is a file", []string{quick, "--dir", mnist}, []string{mnist, "--dir"}},
		{"no text", []string{write("i.yaml", "name: \xff\n")}, []string{"i.yaml:1:7: byte 0xff is not UTF-8"}},
		{"a folder for a file", []string{folder}, []string{"cannot read the job file " + folder + ": it is a folder, no regular file; name a YAML file"}},
		{"a pipe for the job", []string{pipe}, []string{"cannot read the job file " + pipe + ": it is a pipe, no regular file; name a YAML file"}},
		{"empty folder", []string{quick, "--dir", ""}, []string{"--dir is empty"}},
		{"unknown flag", []string{quick, "--worker", "3"}, []string{"unknown flag: --worker; did you mean --workers?"}},
		{"no job", nil, []string{"JOB.yaml is missing: ringmaster launch JOB.yaml"}},
		{"unknown progress", []string{quick, "--progress", "fancy"}, []string{"--progress fancy is not known"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			code, out, stderr := run(t, dir, append([]string{"launch"}, test.args...)...)
			if code != 2 || out != "" {
				t.Errorf("exit code %d, want 2; stdout %q", code, out)
			}
			oneLine(t, stderr, test.want...)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("something was left behind: %v, %v", left, err)
			}
		})
	}
}

// The folder of a run is not used twice by accident.
func TestUsedFolder(t *testing.T) {
	file, dir := config(t, "quickstart.yaml"), filepath.Join(t.TempDir(), "run")
	job{file: file, dir: dir, args: brief}.run(t, 0)
	code, _, stderr := run(t, t.TempDir(), append([]string{"launch", file, "--dir", dir}, brief...)...)
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	oneLine(t, stderr, dir, "--resume")
	// A resumed job is the same job: what its bits depend on must not change, and its end only moves later.
	for _, test := range []struct{ set, want string }{
		{"seed=2", "seed is 2, but was 1"},
		{"seats=8", "seats is 8, but was 4"},
		{"train.batch_per_seat=9", "train.batch_per_seat is 9, but was 8"},
		{"train.optimizer.lr=0.002", "train.optimizer.lr is 0.002, but was 0.001"},
		{"model.layers=[784, 10]", "model.layers is [784, 10], but was [784, 128, 128, 10]"},
		{"train.steps=29", "train.steps is 29, but was 30"},
		{"train.schedule.horizon=99", "train.schedule.horizon is 99, but was 30"},
	} {
		args := append(append([]string{"launch", file, "--dir", dir, "--resume"}, brief...), "--set", test.set)
		code, _, stderr := run(t, t.TempDir(), args...)
		if code != 2 {
			t.Errorf("--set %s: exit code %d, want 2", test.set, code)
		}
		oneLine(t, stderr, "cannot resume", test.want, "--set "+test.set)
	}
	// A later end and other checkpoints are another matter.
	s := job{file: file, dir: dir, args: append([]string{"--resume", "--set", "train.steps=40", "--set", "checkpoint.every_steps=4"}, brief[2:]...)}.run(t, 0)
	if s.Step != 40 {
		t.Errorf("ended at step %d, want 40", s.Step)
	}
}

// The same files elsewhere and compressed are the same data; other files are not.
func TestDataMovesOnResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	first, other := digits(t, 200, 200, 9), digits(t, 200, 200, 8)
	if err := os.WriteFile(file, []byte("data: {kind: mnist, dir: "+first+"}\ntrain: {steps: 10}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	moved := digits(t, 200, 200, 9)
	for _, name := range []string{"train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"} {
		compress(t, filepath.Join(moved, name))
	}
	j := job{file: file, dir: filepath.Join(t.TempDir(), "run")}
	j.run(t, 0)
	code, _, stderr := run(t, t.TempDir(), "launch", file, "--dir", j.dir, "--resume", "--set", "train.steps=20", "--set", "data.dir="+other)
	if code != 2 {
		t.Errorf("other data: exit code %d, want 2", code)
	}
	oneLine(t, stderr, "--set data.dir="+other[:20], "the data is not what it was")
	j.args = []string{"--resume", "--set", "train.steps=20", "--set", "data.dir=" + moved}
	moreSteps := j.run(t, 0)
	whole := job{file: file, args: []string{"--set", "train.steps=20", "--set", "train.schedule.horizon=10"}}.run(t, 0)
	if moreSteps.Digest != whole.Digest {
		t.Errorf("digest %s, want %s", moreSteps.Digest, whole.Digest)
	}
}

func compress(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Addresses that nobody answers at, and ports that others have.
func TestBadAddresses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken, quick := listener.Addr().String(), config(t, "quickstart.yaml")
	for _, test := range []struct {
		name    string
		program string
		args    []string
		code    int
		want    []string
	}{
		{"nobody there", "ringmaster", []string{"submit", quick, "--cluster", freePort(t)}, 2, []string{"submit the job: no coordinator answers at 127.0.0.1:"}},
		{"not an address", "ringmaster", []string{"submit", quick, "--cluster", "here"}, 2, []string{"--cluster: here is not an address"}},
		{"no address", "ringmaster", []string{"submit", quick}, 2, []string{"--cluster is missing"}},
		{"status of nobody", "ringmaster", []string{"status", "--cluster", freePort(t)}, 3, []string{"no coordinator answers"}},
		{"status of nothing", "ringmaster", []string{"status"}, 2, []string{"there is no run in runs"}},
		{"status of a file", "ringmaster", []string{"status", "--dir", quick}, 2, []string{quick, "name the folder of a run by --dir"}},
		{"status of no folder", "ringmaster", []string{"status", "--dir", "nowhere"}, 3, []string{"there is no such folder"}},
		{"size of a file", "ringmaster", []string{"scale", "--workers", "2", "--dir", quick}, 2, []string{quick, "name the folder of a run by --dir"}},
		{"both flags", "ringmaster", []string{"status", "--dir", "x", "--cluster", taken}, 2, []string{"--dir and --cluster do not go together"}},
		{"certificate in a file", "ringmaster", []string{"certs", "show", quick}, 2, []string{"no certificate in " + quick}},
		{"nothing to measure", "ringmaster", []string{"bench", "allreduce", "--bytes", ""}, 2, []string{"--bytes is empty"}},
		{"port in use", "coordinator", []string{"--bind", taken, "--dir", filepath.Join(t.TempDir(), "c")}, 2, []string{taken, "address already in use"}},
		{"coordinator's folder is a file", "coordinator", []string{"--bind", "127.0.0.1:0", "--dir", quick}, 2, []string{quick + " is no folder"}},
		{"worker's folder is a file", "worker", []string{"--join", "127.0.0.1:1", "--dir", quick}, 2, []string{quick + " is no folder"}},
		{"worker's port in use", "worker", []string{"--bind", taken, "--join", "127.0.0.1:1"}, 2, []string{taken, "address already in use"}},
		{"worker without a cluster", "worker", nil, 2, []string{"join is missing"}},
		{"unknown key", "worker", []string{"--config", quick}, 2, []string{"quickstart.yaml:3:1: unknown key name"}},
		{"unknown kernel for workers", "ringmaster", []string{"launch", quick}, 2, []string{"mmx", "this machine can run"}},
		{"unknown kernel", "worker", []string{"--join", "127.0.0.1:1"}, 2, []string{"mmx"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var env []string
			if strings.HasPrefix(test.name, "unknown kernel") {
				env = []string{"RINGMASTER_KERNEL=mmx"}
			}
			p := start(t, programs, t.TempDir(), env, test.program, test.args...)
			if code := p.wait(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			stderr := p.stderr.String()
			if test.program == "ringmaster" {
				oneLine(t, stderr, test.want...)
				return
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1] // above it may stand lines of the log
			for _, want := range append(test.want, test.program+": ") {
				if !strings.Contains(last, want) {
					t.Errorf("%q does not say %q", last, want)
				}
			}
		})
	}
}

// A loss that is no number ends the job, named by step and seat.
func TestLossIsNotANumber(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "train.optimizer.kind=sgd", "--set", "train.optimizer.lr=1e6", "--set", "train.steps=50"}}.start(t)
	s := l.end(1)
	oneLine(t, l.stderr.String(), "step", "seat")
	if s.State != "failed" || s.Error == "" || s.Step >= 50 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(s.Error, strconv.Itoa(int(s.Step))) && !strings.Contains(s.Error, strconv.Itoa(int(s.Step)+1)) {
		t.Errorf("error %q does not name step %d or the one after it", s.Error, s.Step)
	}
}
