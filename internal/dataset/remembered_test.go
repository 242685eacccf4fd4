package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// openRemembered opens a folder of pictures, and says of how many the leaf was known.
func openRemembered(t *testing.T, c config.Data) (d *Data, known int) {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range d.readers[:forTest] {
		g := r.(*gallery)
		known += int(g.missing.Load()) // with room for all, those are kept that have been decoded
	}
	return d, known
}

// TestFingerprintsAreRemembered opens a folder again and again: pictures are decoded again that have changed, have another label or are new, all of them
// where that is asked for or the memory is damaged, and none that has changed just before it was read is remembered. What is read is
// always the same as without a memory.
func TestFingerprintsAreRemembered(t *testing.T) {
	defer func(n int) { rememberFrom = n }(rememberFrom)
	rememberFrom = 1
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	c := imagesConfig(dir)
	c.Cache = t.TempDir()
	const total = 5
	check := func(what string, want int) {
		t.Helper()
		plain := c
		plain.Cache, plain.Recheck = t.TempDir(), true
		fresh, err := Open(plain)
		if err != nil {
			t.Fatal(err)
		}
		d, known := openRemembered(t, c)
		if known != want || d.Fingerprint != fresh.Fingerprint || len(d.Files) != len(fresh.Files) {
			t.Errorf("%s: %d pictures of %d are not decoded, want %d; the same fingerprint: %v; %v", what, known, total, want, d.Fingerprint == fresh.Fingerprint, d.Warnings)
		}
		sameSamples(t, what, d.Train, fresh.Train, rng.Key{})
	}
	check("just written", 0)
	check("just written, again", 0)
	time.Sleep(justChanged + 100*time.Millisecond) // inodes change now, whatever times are set
	check("first time", 0)
	check("again", total)
	name := filepath.Join(dir, "train", "cat")
	entries, err := os.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(name, entries[0].Name())
	if err := os.WriteFile(changed, smallPNG(t, 5, 4, 99), 0o600); err != nil {
		t.Fatal(err)
	}
	check("one has changed", total-1)
	check("one has just changed", total-1)
	c.Recheck = true
	check("all are checked", 0)
	c.Recheck = false
	files, err := filepath.Glob(filepath.Join(c.Cache, "leaves", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 60); err != nil {
		t.Fatal(err)
	}
	d, known := openRemembered(t, c)
	if known != 0 || !strings.Contains(strings.Join(d.Warnings, "\n"), "is not used") {
		t.Errorf("a damaged memory: %d known, %q", known, d.Warnings)
	}
	if d, known = openRemembered(t, c); known != total-1 || len(d.Warnings) > 0 {
		t.Errorf("after a damaged memory: %d known, %q", known, d.Warnings)
	}
	// What a memory says wrongly is noticed when the picture is read.
	d, _ = openRemembered(t, c)
	g := d.readers[0].(*gallery)
	for i := range g.sums {
		g.sums[i][0] ^= 1
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{1}, rng.Key{}); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a wrong leaf: %v", err)
	}
}

// FuzzLeaves reads memories of any bytes.
func FuzzLeaves(f *testing.F) {
	f.Add([]byte(leavesMagic))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = decodeLeaves(raw) })
}
