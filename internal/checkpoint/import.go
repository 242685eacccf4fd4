package checkpoint

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringmaster/internal/tensor/kernel"
)

// counterSuffix ends the names of the counters of batches that PyTorch's batch norms save beside their statistics. With a fixed
// momentum nothing reads them, so a state holds none: a file's are skipped, and an export writes the step.
const (
	counterSuffix = ".num_batches_tracked"
	meanSuffix    = ".running_mean"
)

// ReadModel reads parameters (and running statistics, where the model has some) from one safetensors file of size bytes into a fresh
// state at step 0. The names are the model's, as Export or PyTorch's users write them: all may begin with the same path, as those do
// that a wrapper saves ("module.", "model.", "_orig_mod."). Values may be F32, or F16 or BF16, which become the same numbers in F32.
func (l *Layout) ReadModel(r io.Reader, size int64) (*State, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	h, err := readHeader(buffered, size)
	if err != nil {
		return nil, err
	}
	slots, err := l.assign(h)
	if err != nil {
		return nil, err
	}
	s := l.NewState()
	for i, e := range h.entries {
		d := slots[i]
		if d == nil {
			_, err = io.CopyN(io.Discard, buffered, e.end-e.begin)
		} else {
			err = readAs(buffered, e.dtype, s.vector(d.vector)[d.interval.Begin:d.interval.End])
		}
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", e.name, short(err))
		}
	}
	return s, nil
}

// assign says where each tensor of a file belongs; nil: nowhere, it is a counter.
func (l *Layout) assign(h *header) ([]*slot, error) {
	want := map[string]*slot{}
	var names []string
	for _, s := range l.shares {
		if s.kind == kindOptim {
			continue
		}
		for i := range s.dests {
			want[s.dests[i].name] = &s.dests[i]
			names = append(names, s.dests[i].name)
		}
	}
	wrapper := wrapperOf(h, want)
	slots, seen := make([]*slot, len(h.entries)), map[string]bool{}
	for i, e := range h.entries {
		name := strings.TrimPrefix(e.name, wrapper)
		d := want[name]
		switch {
		case d == nil && e.counts(name, want):
			continue
		case d == nil:
			return nil, fmt.Errorf("tensor %s is not one of the model's", clip(e.name))
		case e.dtype != "F32" && e.dtype != "F16" && e.dtype != "BF16":
			return nil, fmt.Errorf("tensor %s is %s, want F32, F16 or BF16", clip(e.name), e.dtype)
		case !slices.Equal(e.shape, d.shape):
			return nil, fmt.Errorf("tensor %s has shape %v, the model wants %v", clip(e.name), e.shape, d.shape)
		}
		slots[i], seen[name] = d, true
	}
	for _, name := range names {
		if !seen[name] {
			return nil, fmt.Errorf("tensor %s is missing; the file has %d of the model's %d", clip(name), len(seen), len(names))
		}
	}
	return slots, nil
}

// counts reports whether a tensor, as the model would name it, is the counter of a batch norm that the model has.
func (e *entry) counts(name string, want map[string]*slot) bool {
	norm, is := strings.CutSuffix(name, counterSuffix)
	return is && want[norm+meanSuffix] != nil && e.dtype == "I64" && e.end-e.begin == 8
}

// maxWrapper is how many names deep a wrapper's path may be.
const maxWrapper = 8

// wrapperOf is the path that all names of a file begin with and the model's do not: the one with which most are the model's, and of
// several the shortest.
func wrapperOf(h *header, want map[string]*slot) string {
	if len(h.entries) == 0 {
		return ""
	}
	best, most := "", -1
	first := h.entries[0].name
	for end, depth := 0, 0; depth <= maxWrapper; depth++ {
		path, known := first[:end], 0
		for _, e := range h.entries {
			name, inside := strings.CutPrefix(e.name, path)
			if !inside {
				return best
			}
			if want[name] != nil {
				known++
			}
		}
		if known > most {
			best, most = path, known
		}
		dot := strings.IndexByte(first[end:], '.')
		if dot < 0 {
			return best
		}
		end += dot + 1
	}
	return best
}

// readAs reads values of one of the types that ReadModel takes.
func readAs(r io.Reader, dtype string, values []float32) error {
	if dtype == "F32" {
		return readFloats(r, values)
	}
	decode := kernel.DecodeBFloat16
	if dtype == "F16" {
		decode = kernel.DecodeFloat16
	}
	raw, halves := make([]byte, 2*min(len(values), chunkFloats)), make([]uint16, min(len(values), chunkFloats))
	for len(values) > 0 {
		n := min(len(values), chunkFloats)
		if _, err := io.ReadFull(r, raw[:2*n]); err != nil {
			return err
		}
		for i := range n {
			halves[i] = binary.LittleEndian.Uint16(raw[2*i:])
		}
		decode(values[:n], halves[:n])
		values = values[n:]
	}
	return nil
}
