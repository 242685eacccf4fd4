package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"ringmaster/internal/printable"
)

// EncodeShare writes share k of the state straight from its flat vectors, and returns its name, size and SHA-256. NaNs
// are written as one, so the bytes depend on nothing but the state. io.Discard as w computes the hash alone.
func (l *Layout) EncodeShare(w io.Writer, k int, s *State) (File, error) {
	h := sha256.New()
	both := io.MultiWriter(h, w)
	if w == io.Discard {
		both = h
	}
	if err := l.WriteShare(both, k, s); err != nil {
		return File{}, err
	}
	f := File{Name: l.shares[k].Name, Bytes: l.shares[k].Bytes}
	h.Sum(f.SHA256[:0])
	return f, nil
}

// WriteShare is EncodeShare for those who know the SHA-256 already, from an EncodeShare of the same state.
func (l *Layout) WriteShare(w io.Writer, k int, s *State) error {
	if err := l.fits(s); err != nil {
		return err
	}
	share := &l.shares[k]
	if _, err := w.Write(share.header); err != nil {
		return fmt.Errorf("write %s: %w", share.Name, err)
	}
	buf := make([]byte, 4*chunkFloats)
	for _, r := range share.runs {
		if err := writeFloats(w, buf, s.vector(r.vector)[r.interval.Begin:r.interval.End]); err != nil {
			return fmt.Errorf("write %s: %w", share.Name, err)
		}
	}
	return nil
}

// DecodeShare reads the file f, which is share k, into the state's vectors, and checks size, SHA-256, names, shapes and
// types. After an error the share's part of the state is undefined.
func (l *Layout) DecodeShare(r io.Reader, k int, f File, s *State) error {
	if err := l.fits(s); err != nil {
		return err
	}
	share := &l.shares[k]
	if f.Name != share.Name {
		return fmt.Errorf("file %s is not %s", printable.Short(f.Name, maxNameBytes), share.Name)
	}
	h := &hashingReader{r: r, h: sha256.New()}
	err := decode(h, f.Bytes, share.dests, s)
	// Damage explains any other fault of the file, so it is reported first, if the rest can still be read.
	if _, copyErr := io.Copy(io.Discard, io.LimitReader(h, maxFileBytes)); copyErr != nil {
		return fmt.Errorf("file %s: %w", f.Name, copyErr)
	}
	if damage := h.compare(f); damage != nil {
		return damage
	}
	if err != nil {
		return fmt.Errorf("file %s: %w", f.Name, err)
	}
	return nil
}

// decode reads a safetensors file of size bytes that must hold exactly the tensors of want.
func decode(r io.Reader, size int64, want []slot, s *State) error {
	h, err := readHeader(r, size)
	if err != nil {
		return err
	}
	slots := map[string]*slot{}
	for i := range want {
		slots[want[i].name] = &want[i]
	}
	for _, e := range h.entries {
		d := slots[e.name]
		switch {
		case d == nil:
			return fmt.Errorf("tensor %s is not one of the model's", printable.Short(e.name, maxNameBytes))
		case e.dtype != "F32":
			return fmt.Errorf("tensor %s is %s, want F32", e.name, e.dtype)
		case !slices.Equal(e.shape, d.shape):
			return fmt.Errorf("tensor %s has shape %v, the model wants %v", e.name, e.shape, d.shape)
		}
	}
	if len(h.entries) != len(want) {
		for _, d := range want {
			if !slices.ContainsFunc(h.entries, func(e entry) bool { return e.name == d.name }) {
				return fmt.Errorf("tensor %s is missing", d.name)
			}
		}
	}
	for _, e := range h.entries {
		d := slots[e.name]
		values := s.vector(d.vector)[d.interval.Begin:d.interval.End]
		if err := readFloats(r, values); err != nil {
			return fmt.Errorf("tensor %s: %w", e.name, err)
		}
	}
	return nil
}

func readFloats(r io.Reader, values []float32) error {
	for len(values) > 0 {
		part := values[:min(chunkFloats, len(values))]
		values = values[len(part):]
		if _, err := io.ReadFull(r, floatBytes(part)); err != nil {
			return short(err)
		}
		if !nativeLittle {
			fromLittle(part)
		}
	}
	return nil
}

// ErrDamaged is wrapped by errors about files whose content is not what the manifest says.
var ErrDamaged = errors.New("damaged")

// damage is an ErrDamaged with its own message.
type damage struct{ text string }

func (d *damage) Error() string { return d.text }

func (d *damage) Unwrap() error { return ErrDamaged }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

// hashingReader hashes and counts what is read through it.
type hashingReader struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (h *hashingReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.h.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// compare checks size and hash of all that was read against f.
func (h *hashingReader) compare(f File) error {
	if h.n != f.Bytes {
		return damaged("file %s is damaged (it has %d bytes, the manifest says %d)", f.Name, h.n, f.Bytes)
	}
	var sum Hash
	if h.h.Sum(sum[:0]); sum != f.SHA256 {
		return damaged("file %s is damaged (SHA-256 is %s, the manifest says %s)", f.Name, sum.Short(), f.SHA256.Short())
	}
	return nil
}
