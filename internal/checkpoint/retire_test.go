package checkpoint

import (
	"path/filepath"
	"slices"
	"testing"

	"ringmaster/internal/checkpoint/disk"
)

func TestCleanRemovesOnlyTemporaryFiles(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		must(t, save(t, 250, 1).put(s, true))
		must(t, save(t, 500, 1).put(s, false))
		must(t, save(t, 750, 1).put(s, false))
		for _, step := range []uint64{250, 750} {
			f, err := fsys.Create(filepath.Join(dir, Name{Step: step, Generation: 1}.Folder(), ".tmp-0-"+ManifestName))
			must(t, err)
			must(t, f.Close())
		}
		s = mustOpen(t, fsys, dir)
		removed, err := s.Clean()
		must(t, err)
		slices.Sort(removed)
		want := []string{filepath.Join(dir, Name{Step: 250, Generation: 1}.Folder(), ".tmp-0-manifest.json"),
			filepath.Join(dir, Name{Step: 750, Generation: 1}.Folder(), ".tmp-0-manifest.json")}
		if !slices.Equal(removed, want) {
			t.Errorf("removed %v, want %v", removed, want)
		}
		must(t, save(t, 750, 1).put(s, true))
		if removed, err = s.Clean(); err != nil || len(removed) != 0 {
			t.Errorf("cleaned again: %v, %v", removed, err)
		}
		if e, bad, err := newestOf(s); err != nil || e.Step != 750 || len(bad) != 0 {
			t.Errorf("newest %+v, %v, %v", e, bad, err)
		}
	})
}

// Files that the store has not written stay, and so does the folder around them.
func TestRetireLeavesForeignFiles(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		must(t, save(t, 250, 1).put(s, true))
		name := Name{Step: 250, Generation: 1}
		f, err := fsys.Create(filepath.Join(dir, name.Folder(), "notes.txt"))
		must(t, err)
		must(t, f.Close())
		for _, want := range []bool{true, false} {
			if deleted, err := s.Retire(name); err != nil || deleted != want {
				t.Errorf("deleted %v, %v", deleted, err)
			}
		}
		if files, err := fsys.List(filepath.Join(dir, name.Folder())); err != nil || len(files) != 1 || files[0].Name != "notes.txt" {
			t.Errorf("left: %v, %v", files, err)
		}
	})
}
