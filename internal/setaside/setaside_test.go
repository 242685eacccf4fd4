package setaside

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTheNewestStay: numbers go on after what was deleted, past ten, and whatever else is in the folder is left alone.
func TestTheNewestStay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"damaged-step-5", "damage", "step-1", "damaged-notes"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "damaged-7"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 12; n++ {
		label := []string{"", "step-9"}[n%2]
		path, err := Path(dir, label)
		want := fmt.Sprintf("damaged-%d", n)
		if label != "" {
			want += "-" + label
		}
		if err != nil || filepath.Base(path) != want {
			t.Fatalf("the next one is %s, %v; want %s", path, err, want)
		}
		if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
			t.Fatal(err)
		}
		dropped, err := Drop(dir)
		oldest := map[int][]string{3: nil, 4: {"damaged-1-step-9"}, 5: {"damaged-2"}, 12: {"damaged-9-step-9"}}
		if want, ok := oldest[n]; err != nil || ok && !slices.Equal(dropped, want) {
			t.Errorf("after %d: dropped %v, %v; want %v", n, dropped, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"damage", "damaged-10", "damaged-11-step-9", "damaged-12", "damaged-7", "damaged-notes", "damaged-step-5", "step-1"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v; want %v", names, err, want)
	}
	if _, err := Path(filepath.Join(dir, "none"), ""); err == nil {
		t.Error("a folder that is not there")
	}
}
