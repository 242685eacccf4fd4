package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// A safetensors file:
//
//	0      8 bytes   n, the length of the header, uint64 little-endian
//	8      n bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
//	                 "__metadata__": {"key": "value", ...}}, spaces may follow
//	8+n    data      tensors without holes or overlaps, offsets counted from here
const metadataKey = "__metadata__"

const (
	maxHeaderBytes = 16 << 20
	maxDims        = 16
)

// dtypes are the element sizes of the format's types.
var dtypes = map[string]int64{"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}

// entry is one tensor of a file's header.
type entry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int64 // in the data
}

// header is the checked header of a safetensors file: entries are in the order of their data and cover it.
type header struct {
	entries  []entry
	metadata map[string]string
	data     int64 // bytes after the header
}

func prefixLength(text string) []byte {
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(text)), uint64(len(text)))
	return append(out, text...)
}

// readHeader reads the header of a file of size bytes and leaves r at the beginning of the data. Errors about its content
// wrap ErrDamaged.
func readHeader(r io.Reader, size int64) (*header, error) {
	if size < 8 {
		return nil, damaged("it ends at byte %d, within the 8 bytes that begin a safetensors file", size)
	}
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("read the header's length: %w", short(err))
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeaderBytes || int64(n) > size-8 {
		return nil, damaged("its first 8 bytes announce a header of %d bytes, where %d follow and %d are read at most: it is cut short, or no safetensors file",
			n, size-8, maxHeaderBytes)
	}
	// The buffer grows with the bytes actually read: a wrong length costs no memory.
	var text bytes.Buffer
	if _, err := io.CopyN(&text, r, int64(n)); err != nil {
		return nil, fmt.Errorf("read the header: %w", short(err))
	}
	h, err := parseHeader(text.Bytes())
	if err != nil {
		return nil, damaged("%v", err)
	}
	if have := size - 8 - int64(n); h.data > have {
		return nil, damaged("its tensors take %d bytes, but %d follow its header: it is cut short", h.data, have)
	} else if h.data < have {
		return nil, damaged("its tensors take %d bytes, but %d follow its header", h.data, have)
	}
	return h, nil
}

func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHeader reads the JSON token by token, since the decoder for maps would let duplicate keys pass.
func parseHeader(text []byte) (*header, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the header is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	h := &header{}
	err := object(d, "the top", func(key string) error {
		if key == metadataKey {
			h.metadata = map[string]string{}
			return object(d, key, func(key string) error {
				value, err := token[string](d, "metadata "+key)
				h.metadata[key] = value
				return err
			})
		}
		e, err := parseEntry(d, key)
		h.entries = append(h.entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the header's JSON object")
	}
	return h, h.check()
}

// check sorts the entries by their data and refuses holes and overlaps.
func (h *header) check() error {
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	for _, e := range h.entries {
		if e.begin != h.data {
			return fmt.Errorf("tensor %s begins at byte %d of the data, the one before it ends at %d", printable.Line(e.name, maxNameBytes), e.begin, h.data)
		}
		h.data = e.end
	}
	return nil
}

func parseEntry(d *json.Decoder, name string) (entry, error) {
	e := entry{name: name, shape: []int{}}
	var offsets []int64
	fields := 0
	err := object(d, name, func(key string) error {
		fields++
		switch key {
		case "dtype":
			var err error
			e.dtype, err = token[string](d, name+": dtype")
			return err
		case "shape":
			dims, err := integers(d, name+": shape", maxDims)
			for _, dim := range dims {
				e.shape = append(e.shape, int(dim))
			}
			return err
		case "data_offsets":
			var err error
			offsets, err = integers(d, name+": data_offsets", 2)
			return err
		}
		return fmt.Errorf("tensor %s has the unknown field %q", printable.Line(name, maxNameBytes), printable.Line(key, maxNameBytes))
	})
	if err != nil {
		return e, err
	}
	if fields != 3 || len(offsets) != 2 {
		return e, fmt.Errorf("tensor %s wants dtype, shape and two data_offsets", printable.Line(name, maxNameBytes))
	}
	e.begin, e.end = offsets[0], offsets[1]
	width, known := dtypes[e.dtype]
	if !known {
		return e, fmt.Errorf("tensor %s has the unknown dtype %q", printable.Line(name, maxNameBytes), printable.Line(e.dtype, maxNameBytes))
	}
	n, ok := elements(e.shape)
	if !ok || n > math.MaxInt64/width || e.end < e.begin || e.end-e.begin != n*width {
		return e, fmt.Errorf("tensor %s: shape %v of %s does not take the bytes [%d,%d)", printable.Line(name, maxNameBytes), e.shape, e.dtype, e.begin, e.end)
	}
	return e, nil
}

// elements is the product of the dimensions; ok is false where one is negative or the product does not fit.
func elements(shape []int) (n int64, ok bool) {
	n = 1
	for _, dim := range shape {
		if dim < 0 || (dim > 0 && n > math.MaxInt64/int64(dim)) {
			return 0, false
		}
		n *= int64(dim)
	}
	return n, true
}

// object reads a JSON object and calls field at each of its keys, refusing duplicate keys.
func object(d *json.Decoder, what string, field func(key string) error) error {
	if err := delim(d, what, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := token[string](d, what)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%s: the key %q comes twice", printable.Line(what, maxNameBytes), printable.Line(key, maxNameBytes))
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	return delim(d, what, '}')
}

// integers reads a JSON array of at most limit non-negative whole numbers.
func integers(d *json.Decoder, what string, limit int) ([]int64, error) {
	if err := delim(d, what, '['); err != nil {
		return nil, err
	}
	var out []int64
	for d.More() {
		number, err := token[json.Number](d, what)
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil || n < 0 || int64(int(n)) != n || len(out) == limit {
			return nil, fmt.Errorf("%s: wants at most %d whole numbers, not %s", printable.Line(what, maxNameBytes), limit, printable.Line(number.String(), maxNameBytes))
		}
		out = append(out, n)
	}
	return out, delim(d, what, ']')
}

func delim(d *json.Decoder, what string, want json.Delim) error {
	got, err := token[json.Delim](d, what)
	if err == nil && got != want {
		err = fmt.Errorf("%s: found %v where %v belongs", printable.Line(what, maxNameBytes), got, want)
	}
	return err
}

func token[T any](d *json.Decoder, what string) (T, error) {
	var zero T
	t, err := d.Token()
	if err != nil {
		return zero, fmt.Errorf("its JSON text %s, at %s", JSONFault(err), printable.Line(what, maxNameBytes))
	}
	value, ok := t.(T)
	if !ok {
		return zero, fmt.Errorf("%s: found %v where a %T belongs", printable.Line(what, maxNameBytes), printable.Line(fmt.Sprint(t), maxNameBytes), zero)
	}
	return value, nil
}
