package checkpoint

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
)

// Limits of a folder of shards.
const (
	maxWeightFiles  = 1 << 12
	maxWeightHeader = 64 << 20 // bytes of all headers together
	indexSuffix     = ".safetensors.index.json"
	weightsSuffix   = ".safetensors"
)

// Weights are a trained model's tensors in files: one safetensors file, the shards of a folder, or the newest checkpoint of a run. Only
// the headers are held.
type Weights struct {
	Path    string // of the file or folder, or the checkpoint that was found there
	Job     string // that made them, as canonical YAML, where the files or the checkpoint say so
	files   []weightFile
	entries []entry // of all files, in their order
}

// weightFile is one file and how many of the entries it has.
type weightFile struct {
	path    string
	entries int
}

// OpenWeights finds the weights at a path and reads their headers. Of a folder with an index ("model.safetensors.index.json") it takes the
// files that the index lists, else all safetensors files; of a run's folder the newest good checkpoint.
func OpenWeights(path string) (*Weights, error) {
	w := &Weights{Path: path}
	paths, index, err := w.find()
	if err != nil {
		return nil, err
	}
	seen, headers := map[string]string{}, int64(0)
	for _, p := range paths {
		h, size, err := headerOf(p)
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: get it again", err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if headers += size; headers > maxWeightHeader {
			return nil, fmt.Errorf("%s: the headers have more than %d bytes together", path, maxWeightHeader)
		}
		w.Job = cmp.Or(w.Job, h.metadata[originJob])
		for _, e := range h.entries {
			if first := seen[e.name]; first != "" {
				return nil, fmt.Errorf("tensor %s is in both %s and %s: remove the file that is not the model's", printable.Line(e.name, maxNameBytes), first, p)
			}
			seen[e.name] = p
		}
		w.files, w.entries = append(w.files, weightFile{p, len(h.entries)}), append(w.entries, h.entries...)
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if p := filepath.Join(w.Path, index[name]); seen[name] != p {
			return nil, fmt.Errorf("%s: the index says that it has tensor %s, but it has not: get both again, from one place", p, printable.Line(name, maxNameBytes))
		}
	}
	return w, nil
}

// find lists the files; index is what an index says which tensor is where.
func (w *Weights) find() (paths []string, index map[string]string, err error) {
	_, err = regularfile.Stat(w.Path)
	var other *regularfile.Error
	if !errors.As(err, &other) || other.Kind != regularfile.Folder {
		return []string{w.Path}, nil, plainPath(w.Path, err)
	}
	entries, err := disk.OS{}.List(w.Path)
	if err != nil {
		return nil, nil, plainPath(w.Path, err)
	}
	var indexes []string
	for _, e := range entries {
		switch {
		case e.Name == ManifestName:
			return w.newest()
		case e.Dir:
		case strings.HasSuffix(e.Name, indexSuffix):
			indexes = append(indexes, e.Name)
		case strings.HasSuffix(e.Name, weightsSuffix):
			paths = append(paths, filepath.Join(w.Path, e.Name))
		}
	}
	switch {
	case len(indexes) > 1:
		return nil, nil, fmt.Errorf("%s has several indexes (%s): name a folder with one", w.Path, Named(indexes))
	case len(indexes) == 1:
		return w.listed(indexes[0])
	case len(paths) > maxWeightFiles:
		return nil, nil, fmt.Errorf("%s has %d safetensors files, more than %d", w.Path, len(paths), maxWeightFiles)
	case len(paths) > 0:
		return paths, nil, nil
	}
	return w.newest()
}

// newest lists the files of the newest good checkpoint in a run's folder.
func (w *Weights) newest() ([]string, map[string]string, error) {
	found, err := Locate(disk.OS{}, w.Path)
	if err != nil {
		return nil, nil, err
	}
	e, err := found.Best()
	if errors.Is(err, ErrNone) && len(found.Entries) == 0 {
		return nil, nil, fmt.Errorf("%s holds neither safetensors files nor a checkpoint", w.Path)
	}
	if err != nil {
		return nil, nil, err
	}
	w.Path, w.Job = e.Path, e.Manifest.Config
	var paths []string
	for _, f := range e.Manifest.Files {
		if k, _, _, _ := parseShareName(f.Name); k == kindModel || k == kindStats {
			paths = append(paths, filepath.Join(e.Path, f.Name))
		}
	}
	return paths, nil, nil
}

// plainPath removes the call and the path from an operating system's error, so that a message names the path once.
func plainPath(path string, err error) error {
	var detailed *os.PathError
	if errors.As(err, &detailed) {
		return fmt.Errorf("%s: %w", path, detailed.Err)
	}
	return err
}

// headerOf reads the header of a file, and its size.
func headerOf(path string) (*header, int64, error) {
	f, h, _, err := openWithHeader(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return h, info.Size() - h.data, nil
}

// openWithHeader opens a file; r is at the beginning of its data.
func openWithHeader(path string) (f *os.File, h *header, r io.Reader, err error) {
	if f, err = regularfile.Open(path); err != nil {
		var detailed *os.PathError
		if errors.As(err, &detailed) {
			err = detailed.Err
		}
		return nil, nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		buffered := bufio.NewReaderSize(f, 1<<18)
		if h, err = readHeader(buffered, info.Size()); err == nil {
			return f, h, buffered, nil
		}
	}
	f.Close()
	return nil, nil, nil, err
}

// Choice says which tensors of weights are taken.
type Choice struct {
	Skip     func(name string) bool // by the model's names: keep their first values, and pass the file's over; nil: none
	Optional func(name string) bool // by the model's names: keep their first values where the file has none; nil: none
	Loose    bool                   // take what there is: tensors may be missing, and others there
}

// Taken says which tensors were taken.
type Taken struct {
	Digest  Hash // over names, types, shapes and values of all tensors in the files, in the order of their names
	Tensors int  // of the model, that were taken
	Drawn   []string
	Passed  []string // tensors of the files that the model does not have
}

// Check compares the tensors with the layout's, and reads them for their digest.
func (w *Weights) Check(ctx context.Context, l *Layout, c Choice) (Taken, error) {
	return w.take(ctx, l, c, nil)
}

// Load is Check that takes the values into a state's parameters and statistics. A tensor that is not taken keeps its value.
func (w *Weights) Load(ctx context.Context, l *Layout, c Choice, s *State) (Taken, error) {
	if err := l.fits(s); err != nil {
		return Taken{}, err
	}
	return w.take(ctx, l, c, s)
}

func (w *Weights) take(ctx context.Context, l *Layout, c Choice, s *State) (Taken, error) {
	m := l.match(w.entries, c.Skip)
	m.forgo(c.Optional)
	if err := m.fault(c.Loose); err != nil {
		return Taken{}, fmt.Errorf("%s: %w", w.Path, err)
	}
	t := Taken{Tensors: m.wanted - len(m.missing), Drawn: append(m.missing, m.skipped...), Passed: append(m.unexpected, m.passed...)}
	sums, first := make([]Hash, len(w.entries)), 0
	for _, f := range w.files {
		if err := m.readFile(ctx, f, first, sums, s); err != nil {
			return Taken{}, fmt.Errorf("%s: %w", f.path, err)
		}
		first += f.entries
	}
	if err := m.check(sums); err != nil {
		return Taken{}, fmt.Errorf("%s: %w", w.Path, err)
	}
	if s != nil {
		m.share(s)
	}
	t.Digest = digestOf(w.entries, sums)
	return t, nil
}

// readFile reads a file whose first tensor is entries[first].
func (m *match) readFile(ctx context.Context, f weightFile, first int, sums []Hash, s *State) error {
	file, h, r, err := openWithHeader(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if !slices.EqualFunc(h.entries, m.entries[first:first+f.entries], sameEntry) {
		return errors.New("it changed while it was read")
	}
	for i := first; i < first+f.entries; i++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := m.readHashed(i, r, s, sums); err != nil {
			return err
		}
		if d := m.slots[i]; d != nil && s != nil {
			if err := checkFinite(m.entries[i].name, s.vector(d.vector)[d.interval.Begin:d.interval.End]); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameEntry(a, b entry) bool {
	return a.name == b.name && a.dtype == b.dtype && a.begin == b.begin && a.end == b.end && slices.Equal(a.shape, b.shape)
}

func checkFinite(name string, values []float32) error {
	if at := slices.IndexFunc(values, func(v float32) bool { return v-v != 0 }); at >= 0 {
		return fmt.Errorf("tensor %s has the value %v at index %d: training cannot begin from what is not finite", printable.Line(name, maxNameBytes), values[at], at)
	}
	return nil
}

// digestOf hashes the tensors in the order of their names, so it does not depend on how they are spread over files.
func digestOf(entries []entry, sums []Hash) (digest Hash) {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(entries[a].name, entries[b].name) })
	h := sha256.New()
	var text []byte
	for _, i := range order {
		e := &entries[i]
		text = binary.LittleEndian.AppendUint64(text[:0], uint64(len(e.name)))
		text = append(append(append(text, e.name...), e.dtype...), 0)
		text = binary.LittleEndian.AppendUint64(text, uint64(len(e.shape)))
		for _, d := range e.shape {
			text = binary.LittleEndian.AppendUint64(text, uint64(d))
		}
		h.Write(append(text, sums[i][:]...))
	}
	h.Sum(digest[:0])
	return digest
}
