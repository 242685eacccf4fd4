package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/shards"
)

// Forms in which the parts of a folder of pictures are written.
const (
	splitLinks  = "links"
	splitCopies = "copies"
	splitLists  = "lists"
)

// SplitForms are all of them.
var SplitForms = []string{splitLinks, splitCopies, splitLists}

// WrittenSplit says what WriteSplit has written.
type WrittenSplit struct {
	Read   string // what was divided, in words
	Counts [partCount]int
	Keys   string // of a job's section data that reads it
}

// splitFolders are what the folders, or lists, of the parts are called.
var splitFolders = [partCount]string{trainPart, "val", testPart}

// WriteSplit writes the parts of a folder of pictures to a folder, which must not exist, or be empty, and is not there before it is whole: as links to the pictures, or copies of
// them, in folders PART/CLASS, or as tables PART.csv of their paths and classes.
func WriteSplit(c config.Data, out, form string) (w *WrittenSplit, err error) {
	c.Dir = config.ExpandHome(c.Dir)
	found, err := partsOfImages(c, nil)
	if err != nil {
		return nil, err
	}
	draft, err := shards.NewDraft(out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, draft.Abort()) }()
	w = &WrittenSplit{Read: found.words(c), Keys: fmt.Sprintf("{kind: images, dir: %q, eval: val}", out)}
	for k, files := range found.files {
		w.Counts[k] = len(files)
		if len(files) == 0 {
			continue
		}
		if form == splitLists {
			err = writeList(draft.Path(splitFolders[k]+".csv"), c.Dir, files)
		} else {
			err = writePart(draft.Path(splitFolders[k]), files, form)
		}
		if err != nil {
			return nil, err
		}
	}
	if form == splitLists {
		dir, err := filepath.Abs(c.Dir)
		if err != nil {
			return nil, err
		}
		w.Keys = fmt.Sprintf("{kind: image_table, train: %q, eval: %q, dir: %q, image: image, target: label, categories: [label]}",
			filepath.Join(out, "train.csv"), filepath.Join(out, "val.csv"), dir)
	}
	return w, draft.Publish()
}

// inArchive refuses to name a file that is in an archive.
func inArchive(f *labelled) error {
	return fmt.Errorf("%s is in an archive, which has no files to link or list: take --as %s", f.where, splitCopies)
}

// writePart writes the pictures of a part as links or copies.
func writePart(folder string, files []labelled, form string) error {
	for i := range files {
		f := &files[i]
		at := filepath.Join(folder, f.class, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if form == splitCopies {
			raw, err := f.load()
			if err == nil {
				err = writeNew(at, raw)
			}
			if err != nil {
				return err
			}
			continue
		}
		if f.path == "" {
			return inArchive(f)
		}
		target, err := filepath.Abs(f.path)
		if err == nil {
			err = os.Symlink(target, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeList writes the table of a part: the paths of its pictures below a folder, and their classes.
func writeList(name, dir string, files []labelled) error {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	lines := [][]string{{"image", "label"}}
	for i := range files {
		if files[i].path == "" {
			return inArchive(&files[i])
		}
		relative, err := filepath.Rel(dir, files[i].path)
		if err != nil {
			return err
		}
		lines = append(lines, []string{path.Clean(filepath.ToSlash(relative)), files[i].class})
	}
	if err := out.WriteAll(lines); err != nil {
		return err
	}
	return writeNew(name, text.Bytes())
}

// writeNew writes a file that does not exist, to the disk.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
