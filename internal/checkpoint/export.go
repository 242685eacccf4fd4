package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"ringmaster/internal/printable"
)

// Export writes the checkpoint's parameters, and its running statistics where it has some, as one safetensors file under
// PyTorch's names; its metadata say the job and the data. A batch norm's num_batches_tracked is the step. The files are checked while they are copied: after an error the output is worthless.
func (e Entry) Export(w io.Writer) error {
	_, err := e.export(w, "")
	return err
}

// ExportBuffer is Export with an optimizer's buffer, such as an average of the parameters, in the place of these; frozen parameters have no
// values in it and come as they are. It returns the digest of the values.
func (e Entry) ExportBuffer(w io.Writer, buffer string) (Hash, error) { return e.export(w, buffer) }

// export writes the parameters, or those of a buffer where they are in it, and the running statistics. It returns the digest of the former.
func (e Entry) export(w io.Writer, buffer string) (digest Hash, err error) {
	if e.Err != nil {
		return Hash{}, e.Err
	}
	params, err := e.collect(kindModel, "")
	if err != nil {
		return Hash{}, e.failed(err)
	}
	defer params.close()
	stats, err := e.collect(kindStats, "")
	if err != nil {
		return Hash{}, e.failed(err)
	}
	defer stats.close()
	instead := &exported{}
	if buffer != "" {
		if instead, err = e.collect(kindOptim, buffer+"."); err != nil {
			return Hash{}, e.failed(err)
		}
		defer instead.close()
	}
	if buffer != "" && len(instead.slots) == 0 {
		return Hash{}, e.failed(fmt.Errorf("it holds no tensor whose name begins with %s", buffer+"."))
	}
	if digest, err = e.write(w, params, instead, stats); err != nil {
		return Hash{}, fmt.Errorf("export checkpoint step %d: %w", e.Step, err)
	}
	return digest, nil
}

// write writes a header, and then the tensors of params, but for those that instead has, and of stats.
func (e Entry) write(w io.Writer, params, instead, stats *exported) (digest Hash, err error) {
	slots := append(append([]slot(nil), params.slots...), stats.slots...)
	counters := countersOf(slots)
	header := encodeHeader(Origin{e.Manifest.Config, string(e.Manifest.Data)}.metadata(), counters, slots)
	if _, err := w.Write(append(header, counts(counters, e.Manifest.Step)...)); err != nil {
		return digest, err
	}
	hash := sha256.New()
	both := io.MultiWriter(w, hash)
	for _, t := range params.slots {
		from := params
		if instead.name() == t.name {
			if err := params.take(io.Discard); err != nil {
				return digest, err
			}
			from = instead
		}
		if err := from.take(both); err != nil {
			return digest, err
		}
	}
	for range stats.slots {
		if err := stats.take(w); err != nil {
			return digest, err
		}
	}
	for _, from := range []*exported{params, instead, stats} {
		if err := from.finish(); err != nil {
			return digest, err
		}
	}
	hash.Sum(digest[:0])
	return digest, nil
}

// exported are the tensors of a kind's files that an export takes, read one after another.
type exported struct {
	files []exportedFile
	slots []slot
	parts []exportedPart // of all files, in order
	at    int            // the next one
	buf   []byte
}

type exportedFile struct {
	File
	closer io.Closer
	reader *hashingReader
}

type exportedPart struct {
	name  string // "": it is not taken
	bytes int64
	from  *hashingReader
}

// collect opens the files of a kind and takes the tensors whose names begin with a prefix, which is left out.
func (e Entry) collect(kind, prefix string) (*exported, error) {
	x := &exported{buf: make([]byte, 1<<18)}
	for _, f := range e.Manifest.Files {
		if k, _, _, _ := parseShareName(f.Name); k == kind {
			if err := x.open(e, f, prefix); err != nil {
				x.close()
				return nil, err
			}
		}
	}
	return x, nil
}

func (x *exported) open(e Entry, f File, prefix string) error {
	r, size, err := e.store.OpenFile(e.Folder(), f.Name)
	if err != nil {
		return err
	}
	from := &hashingReader{r: r, h: sha256.New()}
	x.files = append(x.files, exportedFile{f, r, from})
	if size != f.Bytes {
		return damaged("file %s is damaged (it has %d bytes, the manifest says %d)", f.Name, size, f.Bytes)
	}
	header, err := readHeader(from, f.Bytes)
	if err != nil {
		return damaged("file %s is damaged (%v)", f.Name, err)
	}
	for _, t := range header.entries {
		if t.dtype != "F32" {
			return damaged("file %s is damaged (tensor %s is %s)", f.Name, printable.Short(t.name, maxNameBytes), printable.Short(t.dtype, maxNameBytes))
		}
		part := exportedPart{bytes: t.end - t.begin, from: from}
		if name, wanted := strings.CutPrefix(t.name, prefix); wanted {
			part.name = name
			s := slot{name: name, shape: t.shape}
			s.interval.End = int(part.bytes / 4)
			x.slots = append(x.slots, s)
		}
		x.parts = append(x.parts, part)
	}
	return nil
}

// name is that of the next tensor that is taken; "" where there is none.
func (x *exported) name() string {
	for _, p := range x.parts[x.at:] {
		if p.name != "" {
			return p.name
		}
	}
	return ""
}

// take copies the next tensor to w. It passes over what is before it.
func (x *exported) take(w io.Writer) error {
	for x.at < len(x.parts) {
		p := x.parts[x.at]
		x.at++
		to := w
		if p.name == "" {
			to = io.Discard
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(p.from, p.bytes), x.buf); err != nil || p.name != "" {
			return err
		}
	}
	return nil
}

// finish reads what is left of the files and checks them.
func (x *exported) finish() error {
	for _, f := range x.files {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, f.reader, x.buf); err != nil {
			return err
		}
		if err := f.reader.compare(f.File); err != nil {
			return err
		}
	}
	return nil
}

func (x *exported) close() {
	for _, f := range x.files {
		f.closer.Close()
	}
}
