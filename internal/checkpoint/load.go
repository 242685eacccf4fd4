package checkpoint

import (
	"fmt"
	"io"
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
