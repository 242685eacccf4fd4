package checkpoint

import (
	"bufio"
	"encoding/binary"
	"io"
	"strings"

	"ringmaster/internal/tensor/kernel"
)

// counterSuffix ends the names of the counters of batches that PyTorch's batch norms save with their statistics. With a fixed
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
	m := l.match(h.entries, nil)
	if err := m.fault(false); err != nil {
		return nil, err
	}
	s := l.NewState()
	sums := make([]Hash, len(h.entries))
	for i := range h.entries {
		if err := m.readHashed(i, buffered, s, sums); err != nil {
			return nil, err
		}
	}
	if err := m.check(sums); err != nil {
		return nil, err
	}
	m.share(s)
	return s, nil
}

// counts reports whether a tensor, as the model would name it, is the counter of a batch norm that the model has.
func (e *entry) counts(name string, want map[string]*slot) bool {
	norm, is := strings.CutSuffix(name, counterSuffix)
	return is && want[norm+meanSuffix] != nil && e.dtype == "I64" && e.end-e.begin == 8
}

// maxWrapper is how many names deep a wrapper's path may be.
const maxWrapper = 8

// wrapperOf is the path that all names of a file begin with and the model's do not: the one for which most of the names are the model's; of
// several such, the shortest.
func wrapperOf(entries []entry, is func(name string) bool) string {
	if len(entries) == 0 {
		return ""
	}
	best, most := "", -1
	first := entries[0].name
	for end, depth := 0, 0; depth <= maxWrapper; depth++ {
		path, known := first[:end], 0
		for _, e := range entries {
			name, inside := strings.CutPrefix(e.name, path)
			if !inside {
				return best
			}
			if is(name) {
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
