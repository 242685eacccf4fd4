package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// idxFile is an IDX file of bytes with these dimensions and values.
func idxFile(values []byte, dims ...int) []byte {
	file := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		file = binary.BigEndian.AppendUint32(file, uint32(d))
	}
	return append(file, values...)
}

func TestDecodeIDX(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.SampledFrom([]int{1, 3}).Draw(t, "rank")
		dims, total := make([]int, rank), 1
		for i := range dims {
			dims[i] = rapid.IntRange(1, 6).Draw(t, "dimension")
			total *= dims[i]
		}
		values := rapid.SliceOfN(rapid.Byte(), total, total).Draw(t, "values")
		file := idxFile(values, dims...)
		if rapid.Bool().Draw(t, "zipped") {
			file = zipped(noTB{}, file)
		}
		got, err := decodeIDX("f", file, rank)
		if err != nil || !slices.Equal(got.dims, dims) || !bytes.Equal(got.values, values) {
			t.Fatalf("decoded %v: %v", got, err)
		}
	})
}

// noTB replaces a test where a helper cannot fail.
type noTB struct{ testing.TB }

func (noTB) Helper() {}

// TestDecodeIDXRefuses has each fault in a plain and in a compressed file.
func TestDecodeIDXRefuses(t *testing.T) {
	images, labels := idxFile(make([]byte, 24), 2, 3, 4), idxFile(make([]byte, 5), 5)
	for _, c := range []struct {
		name string
		file []byte
		rank int
		want string
	}{
		{"empty", nil, 3, "f: ends at byte 0, in the magic number"},
		{"magic cut", images[:3], 3, "f: ends at byte 3, in the magic number"},
		{"header cut", images[:15], 3, "f: ends at byte 15, in its header of 16 bytes"},
		{"cut", images[:39], 3, "f: ends at byte 39 of the 40 that its header announces"},
		{"no values", images[:16], 3, "f: ends at byte 16 of the 40 that its header announces"},
		{"labels cut", labels[:12], 1, "f: ends at byte 12 of the 13 that its header announces"},
		{"labels for images", labels, 3, "f: begins with bytes 00 00 08 01, not 00 00 08 03: it holds labels where images should be"},
		{"images for labels", images, 1, "f: begins with bytes 00 00 08 03, not 00 00 08 01: it holds images where labels should be"},
		{"floats", append([]byte{0, 0, 0x0d, 3}, images[4:]...), 3, "f: begins with bytes 00 00 0d 03, not 00 00 08 03: it is no IDX file of bytes with 3 dimensions"},
		{"a page", []byte("<!DOCTYPE html><html>"), 3, "it looks like a web page"},
		{"no images", idxFile(nil, 0, 28, 28), 3, "f: dimension 0, at byte 4, is 0"},
		{"no columns", idxFile(nil, 2, 28, 0), 3, "f: dimension 2, at byte 12, is 0"},
		{"too large", idxFile(nil, 1<<31, 1<<10, 28), 3, "f: dimension 1, at byte 8, is 1024"},
		{"too large in all", idxFile(nil, 1<<20, 1<<20, 2), 3, "f: dimension 2, at byte 12, is 2"},
		{"overflow", idxFile(nil, 1<<32-1, 1<<32-1, 1<<32-1), 3, "f: dimension 1, at byte 8"},
	} {
		for _, file := range [][]byte{c.file, zipped(t, c.file)} {
			_, err := decodeIDX("f", file, c.rank)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error is %v, want ... %s", c.name, err, c.want)
			}
		}
	}
	extra := append(bytes.Clone(images), 1, 2)
	if _, err := decodeIDX("f", extra, 3); err == nil || !strings.Contains(err.Error(), "f: 2 bytes follow the 40 bytes that its header announces") {
		t.Errorf("two bytes too many: %v", err)
	}
	if _, err := decodeIDX("f", zipped(t, extra), 3); err == nil || !strings.Contains(err.Error(), "f: more bytes follow the 40 bytes") {
		t.Errorf("two bytes too many, compressed: %v", err)
	}
}

func TestDecodeIDXRefusesDamagedGzip(t *testing.T) {
	whole := zipped(t, idxFile(bytes.Repeat([]byte("some pixels"), 100), 11, 10, 10))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"sum":       {flip(whole, len(whole)-8), "cannot be decompressed at byte 1116 of its content"},
		"cut sum":   {whole[:len(whole)-3], "is cut short, at byte 1116 of its content or in the sum behind it"},
		"cut":       {whole[:len(whole)/2], "of the 1116 that its header announces"},
		"method":    {flip(whole, 2), "its gzip header is damaged"},
		"no header": {whole[:9], "its gzip header is damaged"},
		"announced": {zipped(t, idxFile(nil, 1<<20, 28, 28)), "more than its"},
	} {
		if _, err := decodeIDX("f", c.file, 3); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want ... %s", name, err, c.want)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x55
	return b
}

// TestDecodeIDXBoundsAllocations gives a small file that unpacks to very much, and one that announces very much.
func TestDecodeIDXBoundsAllocations(t *testing.T) {
	bomb := zipped(t, idxFile(make([]byte, 8<<20), 1, 1, 100))
	announced := zipped(t, idxFile(nil, 1<<10, 1<<10, 1<<10))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, file := range [][]byte{bomb, announced} {
		if _, err := decodeIDX("f", file, 3); err == nil {
			t.Error("was decoded")
		}
	}
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<19 {
		t.Errorf("refusing allocates %d bytes", bytes)
	}
}

func FuzzDecodeIDX(f *testing.F) {
	images := idxFile(make([]byte, 24), 2, 3, 4)
	f.Add(images, 3)
	f.Add(zipped(f, images), 3)
	f.Add(idxFile([]byte{1, 2}, 2), 1)
	f.Add(idxFile(nil, 1<<31, 2), 1)
	f.Fuzz(func(t *testing.T, raw []byte, rank int) {
		if rank < 1 || rank > 4 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := decodeIDX("f", raw, rank)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > maxInflation*uint64(len(raw))+1<<20 {
			t.Errorf("%d bytes took %d bytes of memory", len(raw), after.TotalAlloc-before.TotalAlloc)
		}
		if err != nil {
			return
		}
		total := 1
		for _, d := range got.dims {
			total *= d
		}
		if len(got.dims) != rank || total != len(got.values) || total == 0 {
			t.Errorf("dimensions %v of %d values", got.dims, len(got.values))
		}
		if again, err := decodeIDX("f", idxFile(got.values, got.dims...), rank); err != nil || fmt.Sprint(again) != fmt.Sprint(got) {
			t.Errorf("encoded again it decodes to %v, %v", again, err)
		}
	})
}
