package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leaves is a folder with a table of two kinds of leaf, rows to ask about, and a job that learns them.
func leaves(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	train, ask := "id,length,width,colour,kind\n", "colour,width,id,length\n"
	for i := range 40 {
		kind, size := "oak", 200+i%9
		if i%2 == 1 {
			kind, size = "ash", 230+i%7
		}
		colour := []string{"green", "brown"}[i/2%2]
		train += fmt.Sprintf("r%d,%d,%g,%s,%s\n", i, size, float64(size%5)/4, colour, kind)
		if i < 10 {
			ask += fmt.Sprintf("%s,%g,r%d,%d\n", colour, float64(size%5)/4, i, size)
		}
	}
	job := fmt.Sprintf(`seats: 2
model: {kind: mlp, layers: [4, 8, 2]}
data: {kind: csv, train: %q, target: kind, features: [length, width, colour], categories: [kind, colour]}
train: {epochs: 20, batch_per_seat: 4, optimizer: {kind: adam, lr: 0.02}}
`, filepath.Join(dir, "leaves.csv"))
	for name, text := range map[string]string{"leaves.csv": train, "new.csv": ask, "leaves.yaml": job} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, "leaves.yaml")
}

// A model of a table answers the rows of a file or of standard input, in their order, the same bits with any number of threads and without the
// training rows. A bad row leaves no file behind, and an older one as it was.
func TestPredictRows(t *testing.T) {
	dir, file := leaves(t)
	runDir := filepath.Join(dir, "run")
	job{file: file, dir: runDir}.start(t).end(0)
	if err := os.Remove(filepath.Join(dir, "leaves.csv")); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := run(t, dir, "predict", runDir, "--input", "new.csv", "--keep", "id", "--threads", "1")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 11 || lines[0] != "id,prediction,probability_ash,probability_oak" || !strings.HasPrefix(lines[10], "r9,") {
		t.Fatalf("exit code %d, %s, %s", code, out, stderr)
	}
	saved := filepath.Join(dir, "out.csv")
	if piped := typed(t, dir, "ringmaster predict run --input - --keep id --threads 3 < new.csv"); piped != out {
		t.Errorf("from standard input, with three threads: %s, want %s", piped, out)
	}
	if code, _, stderr := run(t, dir, "predict", runDir, "--input", "new.csv", "--keep", "id", "--out", saved); code != 0 {
		t.Fatal(stderr)
	}
	if text, err := os.ReadFile(saved); err != nil || string(text) != out {
		t.Errorf("%s, %v, want %s", text, err, out)
	}
	rewrite(t, filepath.Join(dir, "new.csv"), func(text []byte) []byte { return append(text, "red,1,r10,200\n"...) })
	for _, test := range []struct {
		args string
		want string
	}{
		{"--input new.csv --out out.csv", `new.csv:12:1: row 11, column "colour": the category "red" does not occur in the training rows`},
		{"--input new.csv --out out.xlsx", "--out out.xlsx: its name must end in .csv, .tsv, .jsonl or .parquet"},
		{"--input new.csv --out none/out.csv", "there is no folder none"},
		{"--input none.csv", "--input: none.csv does not exist"},
		{"--input leaves.yaml --input-format xlsx", "--input-format: xlsx is no kind of table"},
		{"--input - --input-format parquet", "cannot come through a pipe; name a file"},
		{"--input new.csv --keep name", `new.csv has no column "name" to keep`},
		{"--input new.csv --top 3", "--top goes with --photo and --prompt"},
		{"--photo new.csv --out out.csv", "--out goes with --input"},
		{"--input new.csv --prompt x", "--input FILE"},
	} {
		code, _, stderr := run(t, dir, append([]string{"predict", runDir}, strings.Fields(test.args)...)...)
		if code != 2 {
			t.Errorf("%s: exit code %d", test.args, code)
		}
		oneLine(t, stderr, test.want)
	}
	if text, err := os.ReadFile(saved); err != nil || string(text) != out {
		t.Errorf("after a bad row the file is %s, %v", text, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".out*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
