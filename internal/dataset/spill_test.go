package dataset

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// TestSpilledTablesAreTheSame opens tables with room for all and for no rows: the same fingerprint, description, samples and account, for
// every kind of split, with rows that are dropped, bad rows that are skipped, and a table for evaluation; and the same refusals.
func TestSpilledTablesAreTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	text.WriteString("x,kind,colour,farm,w\n")
	for i := range 2500 {
		x := fmt.Sprint(random.Float32())
		switch {
		case i%997 == 1:
			x = ""
		case i%499 == 2:
			x = "bad"
		}
		fmt.Fprintf(&text, "%s,%s,c%d,farm %d,%d\n", x, []string{"sheep", "goat", "cow"}[random.IntN(3)], i%7, i%13, i%2)
	}
	base := tableConfig(t, config.DataCSV, text.String(), "x,kind,colour,farm,w\n0.5,goat,c3,farm 1,1\n0.75,cow,c1,farm 2,0\n")
	base.Target, base.Weight, base.Features, base.Categories = "kind", "w", []string{"x", "colour"}, []string{"kind", "colour"}
	base.Missing, base.SkipBad, base.Standardize, base.Cache = config.MissingDrop, 0.01, config.Columns{config.AllColumns}, t.TempDir()
	for _, split := range []config.Split{{}, {Eval: 0.25, By: config.SplitRandom, Seed: 3}, {Eval: 0.25, By: config.SplitStratified, Seed: 3},
		{Folds: 5, Fold: 2, By: config.SplitGroup, Seed: 3}, {Eval: 0.25, By: config.SplitHash, Seed: 3}} {
		c := base
		if c.Split = split; split.By != "" {
			c.Eval = ""
		}
		if split.By == config.SplitGroup {
			c.Group = "farm"
		}
		c.MemoryMiB = 16
		want, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		c.MemoryMiB = 0
		got, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		if !want.Train.Resident() || got.Train.Resident() {
			t.Fatalf("in memory: %v with room for all, %v without", want.Train.Resident(), got.Train.Resident())
		}
		if r := got.readers[0].(*rows); len(r.columns[0].floats) > 0 {
			t.Errorf("%d values of a table that is spilled are in memory", len(r.columns[0].floats))
		}
		if got.Fingerprint != want.Fingerprint || string(got.Describe()) != string(want.Describe()) || got.Read != want.Read || got.LeftOut != want.LeftOut {
			t.Fatalf("%s split: another fingerprint or account:\n%s\n%s\n%s\n%s", split.By, got.Describe(), want.Describe(), got.LeftOut, want.LeftOut)
		}
		sameSamples(t, split.By+" training", got.Train, want.Train, rng.Key{})
		sameSamples(t, split.By+" evaluation", got.Eval, want.Eval, rng.Key{})
	}
	left, err := os.ReadDir(filepath.Join(base.Cache, spillFolder))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	c := splitConfig(t, config.Split{Eval: 0.5, By: config.SplitHash, Seed: 1}, append(herd(50), "7,llama,farm 1\n"))
	c.MemoryMiB = 16
	_, inMemory := Open(c)
	c.MemoryMiB, c.Cache = 0, t.TempDir()
	if _, err := Open(c); fmt.Sprint(err) != fmt.Sprint(inMemory) {
		t.Errorf("spilled: %v; in memory: %v", err, inMemory)
	}
}

// TestTablesAreSpilledOnceTheyAreTooLarge opens a table that is larger than its room by a few rows.
func TestTablesAreSpilledOnceTheyAreTooLarge(t *testing.T) {
	c := splitConfig(t, config.Split{}, herd(1<<20/8+5))
	c.MemoryMiB, c.Cache = 16, t.TempDir()
	want, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	c.MemoryMiB = 1
	got, err := Open(c)
	if err != nil || got.Train.Resident() || got.Fingerprint != want.Fingerprint {
		t.Errorf("in memory, or another fingerprint; %v", err)
	}
}

// TestSpillingNeedsAFolder spills where nothing can be written.
func TestSpillingNeedsAFolder(t *testing.T) {
	c := splitConfig(t, config.Split{Eval: 0.5, By: config.SplitHash, Seed: 1}, herd(50))
	c.MemoryMiB, c.Cache = 0, filepath.Join(c.Train, "no-folder")
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "data.cache: what is beyond data.memory_mib cannot be written") {
		t.Errorf("%v", err)
	}
}
