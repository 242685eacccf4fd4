package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/plan"
)

// of makes a checkpoint another job's of the same run, or another run's.
func (c saved) of(job uint64, name string) saved {
	m := *c.manifest
	m.Incarnation, m.Job = plan.Incarnation(job), name
	c.manifest = &m
	return c
}

// folders are the stores' folders, each as step/job/state, sorted.
func folders(t *testing.T, stores ...*Store) string {
	t.Helper()
	var all []string
	for i, s := range stores {
		entries, err := s.List()
		must(t, err)
		for _, e := range entries {
			state := "whole"
			if e.Err != nil {
				state = "bad"
			}
			all = append(all, fmt.Sprintf("%d:%d/%d/%s", i+1, e.Step, e.Job, state))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestPrune(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		one, two := mustOpen(t, fsys, filepath.Join(dir, "1")), mustOpen(t, fsys, filepath.Join(dir, "2"))
		for _, c := range []saved{save(t, 100, 1).of(0, "j"), save(t, 200, 1).of(1, "j"), save(t, 300, 2).of(2, "j"), save(t, 250, 2).of(9, "other")} {
			must(t, c.put(one, true))
			must(t, c.put(two, true))
		}
		origin := save(t, 400, 3).of(3, "j")
		must(t, origin.put(one, true))
		must(t, origin.put(two, false)) // it died before it was finished there
		must(t, save(t, 500, 3).of(3, "j").put(one, false))
		must(t, save(t, 50, 1).of(1, "j").put(two, false))
		for range 2 { // done again it changes nothing
			p, err := Prune([]*Store{one, two}, origin.manifest, 2, nil)
			must(t, err)
			if want := []Name{{300, 2, 2}, {400, 3, 3}}; !slices.Equal(p.Kept, want) {
				t.Errorf("kept %v, want %v", p.Kept, want)
			}
			want := "1:250/9/whole 1:300/2/whole 1:400/3/whole 2:250/9/whole 2:300/2/whole 2:400/3/bad"
			if got := folders(t, one, two); got != want {
				t.Errorf("left\n%s, want\n%s", got, want)
			}
		}
		if p, err := Prune([]*Store{one}, origin.manifest, 0, nil); err != nil || len(p.Kept) != 2 || p.String() != "" {
			t.Errorf("with everything kept: %+v, %v", p, err)
		}
		if p, err := Prune([]*Store{two}, nil, 1, nil); err != nil || p.String() != "1 unfinished checkpoint" {
			t.Errorf("from the beginning: %q, %v", p, err)
		}
	})
}

// A pruning that dies at any moment leaves the checkpoint that is gone on from and all that are kept, and half of none; done again it
// reaches its end.
func TestCrashWhilePruning(t *testing.T) {
	origin := save(t, 400, 3).of(3, "j")
	for n := 1; ; n++ {
		m := disk.NewMemFS()
		s := mustOpen(t, m, "/r")
		for _, c := range []saved{save(t, 100, 1).of(1, "j"), save(t, 200, 1).of(1, "j"), save(t, 300, 2).of(2, "j"), origin} {
			must(t, c.put(s, true))
		}
		must(t, save(t, 500, 4).of(4, "j").put(s, false))
		m.FailAt(n, disk.ErrCrashed)
		_, err := Prune([]*Store{mustOpen(t, m, "/r")}, origin.manifest, 2, nil)
		if err != nil && !errors.Is(err, disk.ErrCrashed) {
			t.Fatalf("crash at operation %d: %v", n, err)
		}
		for name, pick := range survivals() {
			s := mustOpen(t, m.Crash(pick), "/r")
			entries, listed := verified(s)
			must(t, listed)
			whole := 0
			for _, e := range entries {
				if e.Err == nil && e.Step >= 300 {
					whole++
				} else if e.Err != nil && !errors.Is(e.Err, ErrUnfinished) {
					t.Fatalf("crash at operation %d, %s: half a checkpoint: %v", n, name, e.Err)
				}
			}
			if whole != 2 {
				t.Fatalf("crash at operation %d, %s: %d of the 2 that are kept are whole", n, name, whole)
			}
			_, err := Prune([]*Store{s}, origin.manifest, 2, nil)
			must(t, err)
			if got := folders(t, s); got != "1:300/2/whole 1:400/3/whole" {
				t.Fatalf("crash at operation %d, %s: done again it leaves %s", n, name, got)
			}
		}
		if err == nil {
			if n < 20 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
	}
}
