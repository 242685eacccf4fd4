package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"ringmaster/internal/printable"
)

// Load reads the state that a manifest describes. open gives the content of a file. Every file is checked by its
// SHA-256 in the pass that reads it, and the whole by both digests. Errors about content wrap ErrDamaged.
func Load(m *Manifest, l *Layout, open func(name string) (io.ReadCloser, error)) (*State, error) {
	fail := func(err error) (*State, error) {
		return nil, fmt.Errorf("load checkpoint step %d: %w", m.Step, err)
	}
	if len(m.Files) != len(l.shares) {
		return fail(fmt.Errorf("it has %d files, this job's model and optimizer make %d", len(m.Files), len(l.shares)))
	}
	files := map[string]File{}
	for _, f := range m.Files {
		files[f.Name] = f
	}
	s := l.NewState()
	s.Step, s.Sums, s.Epochs = m.Step, m.Sums, append([]EpochMetrics(nil), m.Epochs...)
	for k, share := range l.shares {
		f, ok := files[share.Name]
		if !ok {
			return fail(fmt.Errorf("it has no file %s, which this job's model and optimizer make", share.Name))
		}
		if err := loadShare(l, k, f, s, open); err != nil {
			return fail(err)
		}
	}
	h := NewStateHasher()
	if got := h.Digest(s.Params); got != m.Digest {
		return fail(damaged("the digest of the parameters is %s, the manifest says %s", got.Short(), m.Digest.Short()))
	}
	if got := h.Sum(s); got != m.StateDigest {
		return fail(damaged("the state digest is %s, the manifest says %s", got.Short(), m.StateDigest.Short()))
	}
	return s, nil
}

func loadShare(l *Layout, k int, f File, s *State, open func(name string) (io.ReadCloser, error)) error {
	r, err := open(f.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	return l.DecodeShare(r, k, f, s)
}

// Load reads the entry's state.
func (e Entry) Load(l *Layout) (*State, error) {
	if e.Err != nil {
		return nil, e.Err
	}
	return Load(e.Manifest, l, func(name string) (io.ReadCloser, error) {
		r, _, err := e.store.OpenFile(e.Folder(), name)
		return r, err
	})
}

// Export writes the checkpoint's parameters, and its running statistics where it has some, as one safetensors file under
// PyTorch's names; its metadata say the job and the data. A batch norm's num_batches_tracked is the step. The files are checked while they are copied: after an error the output is worthless.
func (e Entry) Export(w io.Writer) error {
	_, err := e.export(w, kindModel, "")
	return err
}

// ExportBuffer is Export with an optimizer's buffer, such as an average of the parameters, in the place of these. It returns the digest of the
// buffer's values.
func (e Entry) ExportBuffer(w io.Writer, buffer string) (Hash, error) {
	return e.export(w, kindOptim, buffer+".")
}

// export writes the tensors whose names begin with a prefix, which is left out, of the files of a kind, and the running statistics. It
// returns the digest of the former.
func (e Entry) export(w io.Writer, kind, prefix string) (Hash, error) {
	if e.Err != nil {
		return Hash{}, e.Err
	}
	x := &export{entry: e}
	defer x.close()
	for _, from := range []struct{ kind, prefix string }{{kind, prefix}, {kindStats, ""}} {
		for _, f := range e.Manifest.Files {
			if k, _, _, _ := parseShareName(f.Name); k == from.kind {
				if err := x.open(f, from.prefix); err != nil {
					return Hash{}, e.failed(err)
				}
			}
		}
		if from.kind == kind && len(x.slots) == 0 {
			return Hash{}, e.failed(fmt.Errorf("it holds no tensor whose name begins with %s", prefix))
		}
	}
	digest, err := x.write(w, kind)
	if err != nil {
		return Hash{}, fmt.Errorf("export checkpoint step %d: %w", e.Step, err)
	}
	return digest, nil
}

// export holds the files of an export with their headers read.
type export struct {
	entry   Entry
	files   []exported
	closers []io.Closer
	slots   []slot
}

// exported is a file of which some tensors, or all, are written.
type exported struct {
	File
	reader *hashingReader
	parts  []exportedPart // of its data, in order
}

type exportedPart struct {
	bytes   int64
	written bool
}

func (x *export) open(f File, prefix string) error {
	r, size, err := x.entry.store.OpenFile(x.entry.Folder(), f.Name)
	if err != nil {
		return err
	}
	x.closers = append(x.closers, r)
	if size != f.Bytes {
		return damaged("file %s is damaged (it has %d bytes, the manifest says %d)", f.Name, size, f.Bytes)
	}
	file := exported{File: f, reader: &hashingReader{r: r, h: sha256.New()}}
	header, err := readHeader(file.reader, f.Bytes)
	if err != nil {
		return damaged("file %s is damaged (%v)", f.Name, err)
	}
	for _, t := range header.entries {
		if t.dtype != "F32" {
			return damaged("file %s is damaged (tensor %s is %s)", f.Name, printable.Short(t.name, maxNameBytes), printable.Short(t.dtype, maxNameBytes))
		}
		name, wanted := strings.CutPrefix(t.name, prefix)
		file.parts = append(file.parts, exportedPart{t.end - t.begin, wanted})
		if wanted {
			s := slot{name: name, shape: t.shape}
			s.interval.End = int((t.end - t.begin) / 4)
			x.slots = append(x.slots, s)
		}
	}
	x.files = append(x.files, file)
	return nil
}

// write writes the tensors and returns the digest of those in files of the kind.
func (x *export) write(w io.Writer, kind string) (digest Hash, err error) {
	m, counters := x.entry.Manifest, countersOf(x.slots)
	header := encodeHeader(Origin{m.Config, string(m.Data)}.metadata(), counters, x.slots)
	if _, err := w.Write(append(header, counts(counters, m.Step)...)); err != nil {
		return digest, err
	}
	hash, buf := sha256.New(), make([]byte, 1<<18)
	for _, f := range x.files {
		to := w
		if k, _, _, _ := parseShareName(f.Name); k == kind {
			to = io.MultiWriter(w, hash)
		}
		for _, part := range f.parts {
			into := to
			if !part.written {
				into = io.Discard
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{into}, io.LimitReader(f.reader, part.bytes), buf); err != nil {
				return digest, err
			}
		}
		if _, err := io.Copy(io.Discard, f.reader); err != nil { // nothing is left of a good file
			return digest, err
		}
		if err := f.reader.compare(f.File); err != nil {
			return digest, err
		}
	}
	hash.Sum(digest[:0])
	return digest, nil
}

func (x *export) close() {
	for _, c := range x.closers {
		c.Close()
	}
}
