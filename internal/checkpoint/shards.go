package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
)

// An index of shards, as save_pretrained writes it beside them:
//
//	{"metadata": {"total_size": 12345}, "weight_map": {"name of a tensor": "name of a file", ...}}
const weightMap = "weight_map"

// maxIndexDepth bounds how deep values may be within one another that an index has beside its map.
const maxIndexDepth = 32

// listed lists the files that an index names, and what it says which tensor is where.
func (w *Weights) listed(name string) ([]string, map[string]string, error) {
	path := filepath.Join(w.Path, name)
	text, err := readIndex(path)
	if err != nil {
		return nil, nil, plainPath(path, err)
	}
	places, err := parseIndex(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	names := map[string]bool{}
	for _, file := range places {
		names[file] = true
	}
	if len(names) == 0 || len(names) > maxWeightFiles {
		return nil, nil, fmt.Errorf("%s: its weight_map names %d files, where 1 to %d belong: get it again", path, len(names), maxWeightFiles)
	}
	var paths, missing []string
	for _, file := range slices.Sorted(maps.Keys(names)) {
		switch there, err := within(w.Path, file); {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		case !there:
			missing = append(missing, file)
		}
		paths = append(paths, filepath.Join(w.Path, file))
	}
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("%s names files that are not there, %d of %d: get %s too", path, len(missing), len(names), Named(missing))
	}
	return paths, places, nil
}

// readIndex reads the text of an index. One that is too large is not read at all.
func readIndex(path string) ([]byte, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxHeaderBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d of an index: it is damaged, or something else; get it again", path, info.Size(), maxHeaderBytes)
	}
	return io.ReadAll(io.LimitReader(f, maxHeaderBytes))
}

// within reports whether a folder has a file of this name. A link may lead to where the hub's programs keep what they have fetched, and nowhere
// else outside of the folder: an index must not choose what is read on a machine.
func within(dir, file string) (bool, error) {
	path := filepath.Join(dir, file)
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return err == nil, nil // those who open it say what else is wrong
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", printable.Line(file, maxNameBytes), err)
	}
	folder, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false, err
	}
	if rest, err := filepath.Rel(folder, target); err == nil && filepath.IsLocal(rest) || cached(target) {
		return true, nil
	}
	return false, fmt.Errorf("the file %s that it names is a link to %s, outside of the folder: put the file itself there", printable.Line(file, maxNameBytes), printable.Line(target, maxNameBytes))
}

// cached reports whether a file is in the cache of the hub's programs, models--OWNER--NAME/blobs/HASH.
func cached(path string) bool {
	blobs := filepath.Dir(path)
	return filepath.Base(blobs) == "blobs" && strings.HasPrefix(filepath.Base(filepath.Dir(blobs)), "models--")
}

// parseIndex reads which tensor is in which file. Files are beside the index.
func parseIndex(text []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	places := map[string]string{}
	err := object(d, "the top", func(key string) error {
		if key != weightMap {
			return skipValue(d)
		}
		return object(d, weightMap, func(tensor string) error {
			file, err := token[string](d, tensor)
			if err == nil && (file == "" || filepath.Base(file) != file || !filepath.IsLocal(file)) {
				err = fmt.Errorf("tensor %s would be in %q, which is no name of a file beside the index", printable.Line(tensor, maxNameBytes), printable.Line(file, maxNameBytes))
			}
			places[tensor] = file
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the index's JSON object")
	}
	return places, nil
}

// skipValue passes over a value of any kind.
func skipValue(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("it %s", JSONFault(err))
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxIndexDepth {
			return fmt.Errorf("values are nested more than %d deep beside the weight_map", maxIndexDepth)
		}
		if depth == 0 {
			return nil
		}
	}
}
