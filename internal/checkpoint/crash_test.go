package checkpoint

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"ringmaster/internal/checkpoint/disk"
)

// survivals are the possible effects of a power failure on data that was not durable.
func survivals() map[string]func(int) int {
	ways := map[string]func(int) int{
		"everything lost": func(int) int { return 0 },
		"everything kept": func(n int) int { return n - 1 },
	}
	for seed := range int64(4) {
		r := rand.New(rand.NewSource(seed))
		ways[fmt.Sprint("seed ", seed)] = r.Intn
	}
	return ways
}

// crashes runs do at a fresh store with step 250 in it, once for every operation at which the machine can crash and
// every way to survive it, and hands the file system after the restart to check. done says whether do had returned.
func crashes(t *testing.T, do func(s *Store) error, check func(t *testing.T, after *disk.MemFS, done bool)) {
	for n := 1; ; n++ {
		m := disk.NewMemFS()
		must(t, save(t, 250, 1).put(mustOpen(t, m, "/r/checkpoints"), true))
		m.FailAt(n, disk.ErrCrashed)
		err := do(mustOpen(t, m, "/r/checkpoints"))
		if err != nil && !errors.Is(err, disk.ErrCrashed) {
			t.Fatalf("crash at operation %d: %v", n, err)
		}
		for name, pick := range survivals() {
			t.Run(fmt.Sprintf("%d/%s", n, name), func(t *testing.T) { check(t, m.Crash(pick), err == nil) })
		}
		if err == nil {
			if n < 8 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
	}
}

// Whatever moment a save dies at, what is found after it is the old checkpoint or the new one, whole, and the save can be
// done again.
func TestCrashWhileSaving(t *testing.T) {
	c := save(t, 500, 1)
	crashes(t, func(s *Store) error { return c.put(s, true) }, func(t *testing.T, after *disk.MemFS, done bool) {
		f, err := Locate(after, "/r")
		must(t, err)
		if f.Newest == nil || len(f.Damaged) != 0 || (done && f.Newest.Step != 500) {
			t.Fatalf("save done: %v; newest %v, damaged %v", done, f.Newest, f.Damaged)
		}
		state, err := f.Newest.Load(c.layout)
		must(t, err)
		if err := sameBits(save(t, f.Newest.Step, 1).state, state); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, after, "/r/checkpoints")
		_, err = s.Clean()
		must(t, err)
		must(t, c.put(s, true))
		noTemps(t, after, "/r/checkpoints/"+c.manifest.Folder())
		if e, bad, err := newestOf(s); err != nil || e.Step != 500 || len(bad) != 0 {
			t.Fatalf("after saving again: %v, %v, %v", e, bad, err)
		}
	})
}

// What was acknowledged is kept: a file that was stored, or found in the store, survives any later crash.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	c := save(t, 500, 1)
	var acknowledged []File
	crashes(t, func(s *Store) error {
		acknowledged = nil
		for range 2 {
			for _, f := range c.manifest.Files {
				u, err := s.Begin(c.manifest.Folder(), f.Name, f.Bytes)
				if err != nil {
					return err
				}
				if _, err := u.Write(c.contents[f.Name]); err != nil {
					u.Abort()
					return err
				}
				if err := u.Commit(f.SHA256); err != nil {
					return err
				}
				acknowledged = append(acknowledged, f)
			}
			// A restarted process finds the files and must not trust names that are not durable.
			var err error
			if s, err = Open(s.fs, s.dir); err != nil {
				return err
			}
		}
		return nil
	}, func(t *testing.T, after *disk.MemFS, done bool) {
		s := mustOpen(t, after, "/r/checkpoints")
		for _, f := range acknowledged {
			if has, err := s.HasFile(c.manifest.Folder(), f); !has || err != nil {
				t.Fatalf("%s is gone: %v", f.Name, err)
			}
		}
	})
}

// A file whose name was given just before a crash but not made durable must become so before it is acknowledged by the
// next process, and the folder too.
func TestFoundFilesAreMadeDurable(t *testing.T) {
	c := save(t, 500, 1)
	folder, f := c.manifest.Folder(), c.manifest.Files[0]
	for n := 1; n <= 7; n++ {
		m := disk.NewMemFS()
		must(t, m.Mkdir("/checkpoints"))
		must(t, m.SyncDir("/"))
		m.FailAt(n, errors.New("input/output error"))
		if err := c.put(mustOpen(t, m, "/checkpoints"), false); err == nil {
			t.Fatalf("operation %d did not fail", n)
		}
		s := mustOpen(t, m, "/checkpoints")
		has, err := s.HasFile(folder, f)
		must(t, err)
		if !has {
			must(t, c.put(s, false))
		}
		after := mustOpen(t, m.Crash(func(int) int { return 0 }), "/checkpoints")
		if has, err := after.HasFile(folder, f); !has || err != nil {
			t.Errorf("failure at operation %d (%s): the file is gone, %v", n, m.Log()[n+1], err)
		}
	}
}

// A deletion that dies leaves the checkpoint or none of it that counts, and goes on when done again.
func TestCrashWhileRetiring(t *testing.T) {
	crashes(t, func(s *Store) error {
		if err := save(t, 500, 1).put(s, true); err != nil {
			return err
		}
		_, err := s.Retire(Name{Step: 250, Generation: 1})
		return err
	}, func(t *testing.T, after *disk.MemFS, done bool) {
		s := mustOpen(t, after, "/r/checkpoints")
		e, bad, err := newestOf(s)
		if err != nil || len(bad) != 0 {
			t.Fatalf("newest %v, damaged %v, %v", e, bad, err)
		}
		entries, err := verified(s)
		must(t, err)
		for _, e := range entries {
			if e.Err != nil && !errors.Is(e.Err, ErrUnfinished) {
				t.Fatalf("half a checkpoint: %v", e.Err)
			}
		}
		if done && slices.ContainsFunc(entries, func(e Entry) bool { return e.Step == 250 }) {
			t.Fatal("the deleted checkpoint came back")
		}
		must(t, save(t, 500, 1).put(s, true))
		retire(t, s, Name{Step: 250, Generation: 1})
		entries, err = s.List()
		if err != nil || len(entries) != 1 || entries[0].Step != 500 {
			t.Fatalf("after deleting again: %v, %v", entries, err)
		}
	})
}

// The memory that crashes must itself tell a careless writer from a careful one, or the tests above show nothing.
func TestCrashFindsCarelessWriters(t *testing.T) {
	lose := func(int) int { return 0 }
	write := func(m *disk.MemFS, name string, sync bool) {
		f, err := m.Create(name)
		must(t, err)
		_, err = f.Write([]byte("content"))
		must(t, err)
		if sync {
			must(t, f.Sync())
		}
		must(t, f.Close())
	}
	m := disk.NewMemFS()
	write(m, "/unsynced", false)
	must(t, m.Rename("/unsynced", "/a"))
	must(t, m.SyncDir("/"))
	write(m, "/b", true)
	after := m.Crash(lose)
	if e, err := after.Stat("/a"); err != nil || e.Bytes != 0 {
		t.Errorf("bytes that were not synced survived: %+v, %v", e, err)
	}
	if _, err := after.Stat("/b"); err == nil {
		t.Error("a name that was not synced survived")
	}
	if e, err := m.Crash(func(n int) int { return n - 1 }).Stat("/b"); err != nil || e.Bytes != 7 {
		t.Errorf("a kind crash lost a file: %+v, %v", e, err)
	}
}
