package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"ringmaster/internal/test/cost"
)

func fileOf(header string, data int) []byte {
	return append(prefixLength(header), make([]byte, data)...)
}

func TestReadHeaderRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		header string
		data   int
		want   string // empty: is good
	}{
		{"one tensor", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, ""},
		{"padding", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   `, 8, ""},
		{"nothing", `{}`, 0, ""},
		{"metadata only", `{"__metadata__":{"a":"b"}}`, 0, ""},
		{"no elements", `{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1, ""},
		{"other order", `{"b":{"data_offsets":[4,8],"dtype":"F32","shape":[1]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 8, ""},
		{"duplicate tensor", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, `the key "a" comes twice`},
		{"duplicate by escape", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, `the key "a" comes twice`},
		{"duplicate field", `{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4, `the key "dtype" comes twice`},
		{"duplicate metadata", `{"__metadata__":{"k":"1","k":"2"}}`, 0, `the key "k" comes twice`},
		{"hole", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, "begins at byte 4 of the data, the one before it ends at 0"},
		{"overlap", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, "tensor b begins at byte 4"},
		{"data left over", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 5, "its tensors take 4 bytes, but 5 follow its header"},
		{"data missing", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4, "its tensors take 8 bytes, but 4 follow its header: it is cut short"},
		{"shape and bytes differ", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8, "does not take the bytes [0,8)"},
		{"backwards", `{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}`, 8, "does not take the bytes [8,0)"},
		{"overflow", `{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0, "does not take"},
		{"overflow by width", `{"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0, "does not take"},
		{"negative", `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4, "whole numbers, not -1"},
		{"fraction", `{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, 4, "whole numbers, not 1.0"},
		{"huge number", `{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}`, 4, "whole numbers"},
		{"three offsets", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, 4, "at most 2 whole numbers"},
		{"one offset", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4, "wants dtype, shape and two data_offsets"},
		{"too many dimensions", `{"a":{"dtype":"F32","shape":[` + strings.Repeat("1,", 16) + `1],"data_offsets":[0,4]}}`, 4, "at most 16 whole numbers"},
		{"unknown type", `{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}`, 4, `unknown dtype "F33"`},
		{"unknown field", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4, `unknown field "x"`},
		{"field missing", `{"a":{"dtype":"F32","shape":[1]}}`, 4, "wants dtype, shape and two data_offsets"},
		{"metadata of numbers", `{"__metadata__":{"k":1}}`, 0, "metadata k: found 1"},
		{"array", `[]`, 0, "found [ where { belongs"},
		{"string", `"x"`, 0, "found x where"},
		{"not JSON", `{"a"`, 0, "its JSON text ends too early, at a"},
		{"empty", ``, 0, "its JSON text ends too early, at the top"},
		{"bad syntax", `{"a":{]}`, 0, "its JSON text is no JSON at byte 6"},
		{"two objects", `{}{}`, 0, "more after the header"},
		{"not UTF-8", "{\"\xff\":{}}", 0, "not UTF-8"},
		{"deep", strings.Repeat(`{"a":`, 10000), 0, "a"},
	} {
		b := fileOf(c.header, c.data)
		_, err := readHeader(bytes.NewReader(b), int64(len(b)))
		if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 600) {
			t.Errorf("%s: message is not one short line: %q", c.name, err)
		}
	}
}

// A length that promises more than there is costs no memory and is refused.
func TestReadHeaderLength(t *testing.T) {
	for _, n := range []uint64{3, maxHeaderBytes, maxHeaderBytes + 1, 1 << 40, math.MaxInt64, math.MaxUint64} {
		b := binary.LittleEndian.AppendUint64(nil, n)
		b = append(b, "{}"...)
		for _, size := range []int64{int64(len(b)), 0, 1 << 50} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readHeader(bytes.NewReader(b), size)
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; err == nil || allocated > 1<<17 {
				t.Errorf("length %d, size %d: %v with %d bytes allocated", n, size, err, allocated)
			}
		}
	}
	for n := range 8 {
		if _, err := readHeader(bytes.NewReader(make([]byte, n)), int64(n)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("ends at byte %d,", n)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(fileOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(fileOf(`{"__metadata__":{"format":"pt"},"b":{"data_offsets":[4,8],"dtype":"F32","shape":[1]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 8))
	f.Add(fileOf(`{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}`, 0))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 127})
	l, err := NewLayout(1, tensorsOf("p", []int{2}, []int{1}), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := l.EncodeShare(&b, 0, l.NewState()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		// Whatever is accepted is covered by its tensors exactly, and reading it as a model fails or fills it. Either costs little.
		var h *header
		var err error
		cost.Bound(t, len(data), 1<<10, func() { h, err = readHeader(bytes.NewReader(data), int64(len(data))) })
		if err == nil {
			at := int64(0)
			for _, e := range h.entries {
				n, ok := elements(e.shape)
				if e.begin != at || !ok || n*dtypes[e.dtype] != e.end-e.begin {
					t.Fatalf("entry %+v at byte %d", e, at)
				}
				at = e.end
			}
			n := int64(binary.LittleEndian.Uint64(data))
			if at != int64(len(data))-8-n {
				t.Fatalf("tensors end at %d of %d", at, int64(len(data))-8-n)
			}
		}
		if s, err := l.ReadModel(bytes.NewReader(data), int64(len(data))); err == nil {
			if _, err := l.EncodeShare(io.Discard, 0, s); err != nil {
				t.Fatal(err)
			}
		}
	})
}
