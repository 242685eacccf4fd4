package table

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// file is a file in a tar.
type file struct{ name, content string }

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		add(t, w, &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644}, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func add(t testing.TB, w *tar.Writer, h *tar.Header, content string) {
	t.Helper()
	h.Size = int64(len(content))
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
}

// readTars reads shards with these contents: a line for each row, with the values by column.
func readTars(t testing.TB, place string, shards ...[]byte) (lines []string, err error) {
	t.Helper()
	var names []string
	for i, content := range shards {
		name := filepath.Join(t.TempDir(), "shard-"+string(rune('0'+i))+".tar")
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	r, err := OpenAll(names, Tar, Options{Place: place})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	loader, err := NewLoader(names, Tar, place, nil)
	if err != nil {
		return nil, err
	}
	row := make([]Value, len(r.Columns()))
	for {
		if err := r.Next(row); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return lines, err
		}
		var parts []string
		for k, name := range r.Columns() {
			text, err := row[k].Word()
			if row[k].Kind == Placed {
				raw, loadErr := loader.Load(row[k].At)
				if loadErr != nil {
					return lines, loadErr
				}
				text, err = string(raw)+" of "+loader.Where(row[k].At), nil
			}
			if err != nil {
				text = row[k].Kind.String()
			}
			parts = append(parts, name+"="+text)
		}
		lines = append(lines, strings.Join(parts, " "))
	}
}

func TestSamplesOfAShard(t *testing.T) {
	long := strings.Repeat("long/", 40)
	lines, err := readTars(t, "jpg;png",
		tarOf(t, file{"__index__/x.txt", "meta"}, file{"notes", "no sample"}, file{".hidden.txt", "none"}, file{"./a/1.jpg", "one"}, file{"a/1.CLS", " 3\n"}, file{"a/1.json", `{"x":{"y":2},"t":"u"}`},
			file{"a/2.1.jpg", "of field 1.jpg"}, file{"a/2.cls", "-4"}, file{"a/2.png", "two"}),
		tarOf(t, file{long + "3.cls", "5"}, file{long + "3.jpg", "three"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"jpg;png=one of shard-0.tar: a/1.jpg (offset 2048) cls=3 json.x.y=2 json.t=u", "jpg;png=two of shard-0.tar: a/2.png (offset 6144) cls=-4 json.x.y=nothing json.t=nothing",
		"jpg;png=three of shard-1.tar: "}
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, strings.SplitN(want[i], " (offset", 2)[0]) {
			t.Errorf("row %d is %s, want %s", i, line, want[min(i, len(want)-1)])
		}
	}
	if len(lines) != len(want) || !strings.HasSuffix(lines[2], "cls=5 json.x.y=nothing json.t=nothing") {
		t.Errorf("rows %q", lines)
	}
}

func TestShardsRefused(t *testing.T) {
	special := func(h tar.Header, content string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		add(t, w, &tar.Header{Name: "a.cls", Typeflag: tar.TypeReg}, "1")
		add(t, w, &h, content)
		w.Close()
		return b.Bytes()
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(tarOf(t, file{"a.cls", "1"}))
	z.Close()
	whole := tarOf(t, file{"a.cls", "1"}, file{"b.jpg", strings.Repeat("x", 2000)}, file{"c.jpg", ""})
	sparse := special(tar.Header{Name: "b.jpg", Typeflag: tar.TypeReg}, "x")
	sparse[1024+156] = tar.TypeGNUSparse
	copy(sparse[1024+257:], "ustar  \x00")
	copy(sparse[1024+386:], "00000000000\x0000000000001\x00")
	copy(sparse[1024+483:], "00000000001\x00")
	huge := tarOf(t, file{"a.cls", "1"}, file{"b.txt", "x"})
	copy(huge[1024+124:], "77777777777\x00") // 8 GiB
	for _, damaged := range [][]byte{sparse, huge} {
		block, sum := damaged[1024:1536], 0
		copy(block[148:156], "        ")
		for _, c := range block {
			sum += int(c)
		}
		copy(block[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	}
	big := tarOf(t, file{"a.cls", "1"}, file{"b.txt", strings.Repeat("x", maxText+1)})
	for want, shard := range map[string][]byte{
		`offset 1024: "../b.jpg" leads out of the archive`:                             special(tar.Header{Name: "../b.jpg", Typeflag: tar.TypeReg}, "x"),
		`offset 1024: "x/../../b.jpg" leads out of the archive`:                        special(tar.Header{Name: "x/../../b.jpg", Typeflag: tar.TypeReg}, "x"),
		`offset 1024: "/b.jpg" is an absolute name`:                                    special(tar.Header{Name: "/b.jpg", Typeflag: tar.TypeReg}, "x"),
		`offset 1024: "b.jpg" is a link`:                                               special(tar.Header{Name: "b.jpg", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""),
		`offset 1024: "c.jpg" is a link`:                                               special(tar.Header{Name: "c.jpg", Typeflag: tar.TypeLink, Linkname: "a.cls"}, ""),
		`offset 1024: "b.jpg" is a device`:                                             special(tar.Header{Name: "b.jpg", Typeflag: tar.TypeChar}, ""),
		`offset 1024: "b.jpg" is a sparse file`:                                        sparse,
		`offset 1024: "b.txt" has 8589934591 bytes, of which the shard has 1536`:       huge,
		`offset 1024: sample "a" has two files "cls"`:                                  tarOf(t, file{"a.cls", "1"}, file{"a.cls", "2"}),
		`offset 1024: "b.txt" has 16777217 bytes, more than the 16777216`:              big,
		"shard-0.tar: is compressed, so that":                                          packed.Bytes(),
		`shard-0.tar: offset 1024: "b.jpg" has 2000 bytes, of which the shard has 464`: whole[:2000],
		"shard-0.tar: has no samples":                                                  tarOf(t, file{"readme", "x"}),
		`sample "b" (offset 1024): field cls: "x" is not a whole number`:               tarOf(t, file{"a.cls", "1"}, file{"b.cls", "x"}),
		`sample "b" (offset 1024): field json: the object is not closed`:               tarOf(t, file{"a.cls", "1"}, file{"b.json", "{"}, file{"b.cls", "1"}),
		`sample "b" (offset 1024): field npy: is not a NumPy array`:                    tarOf(t, file{"a.cls", "1"}, file{"b.npy", "12345678"}),
		`shard-0.tar: sample "a" (offset 0): field cls: "" is not a whole`:             tarOf(t, file{"a.cls", ""}),
		"shard-0.tar: offset 6656: a name of 5004 bytes, more than 4096":               tarOf(t, file{"a.cls", "1"}, file{strings.Repeat("n", 5000) + ".jpg", ""}),
		"shard-0.tar: offset 0: is not a readable tar: archive/tar: invalid ta":        bytes.Repeat([]byte("no tar"), 200),
	} {
		if _, err := readTars(t, "jpg", shard); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want ... %s", err, want)
		}
	}
}

// compressed is what gzip makes of bytes.
func compressed(t testing.TB, raw []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// unpack reads a compressed shard through a spool, all of it and what is placed there.
func unpack(t testing.TB, raw []byte) (placed []string, err error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "shard.tar.gz")
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	spool := NewSpool(func() (*os.File, error) { return os.CreateTemp(t.TempDir(), "") })
	r, err := OpenAll([]string{name}, Tar, Options{Place: "jpg", Spool: spool})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	loader, err := NewLoader([]string{name}, Tar, "jpg", spool)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]Value, len(r.Columns()))
	for {
		if err := r.Next(row); err != nil {
			return placed, err
		}
		for _, v := range row {
			if v.Kind == Placed {
				content, err := loader.Load(v.At)
				if err != nil {
					t.Fatalf("what is placed cannot be read: %v", err)
				}
				placed = append(placed, loader.Where(v.At)+" "+string(content))
			}
		}
	}
}

// TestCompressedShards reads a compressed shard by what it unpacks to, and refuses one that is cut, or unpacks to far more than it is.
func TestCompressedShards(t *testing.T) {
	whole := compressed(t, tarOf(t, file{"a.jpg", "first"}, file{"a.cls", "1"}, file{"b.jpg", "second"}, file{"b.cls", "2"}))
	placed, err := unpack(t, whole)
	if err != io.EOF || !slices.Equal(placed, []string{"shard.tar.gz: a.jpg (offset 512) first", "shard.tar.gz: b.jpg (offset 2560) second"}) {
		t.Errorf("%q, %v", placed, err)
	}
	bomb := compressed(t, append(tarOf(t, file{"a.cls", "1"}), make([]byte, slack+64<<20)...))
	for want, raw := range map[string][]byte{
		"shard.tar.gz: damaged: unexpected EOF": whole[:len(whole)-10],
		"shard.tar.gz: unpacks to more than":    bomb,
	} {
		if _, err := unpack(t, raw); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzCompressedTar unpacks anything.
func FuzzCompressedTar(f *testing.F) {
	f.Add(compressed(f, tarOf(f, file{"a.jpg", "x"}, file{"a.cls", "1"}, file{"b.npy", "\x93NUMPY\x01\x00"})))
	zstd, err := os.ReadFile("../dataset/testdata/packed-zstd.tar.zst")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zstd)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if isCompressed(bytes.NewReader(raw)) {
			unpack(t, raw)
		}
	})
}

// FuzzTar reads a shard to its end, and what was left at its place.
func FuzzTar(f *testing.F) {
	f.Add(tarOf(f, file{"a.jpg", "x"}, file{"a.cls", "1"}, file{"a.json", `{"a":[1,2]}`}, file{"b.npy", "\x93NUMPY\x01\x00"}))
	f.Add(tarOf(f, file{strings.Repeat("long/", 50) + "a.jpg", "x"}, file{"b.txt", "text"}))
	f.Fuzz(func(t *testing.T, raw []byte) { readTars(t, "jpg", raw) })
}

// FuzzPages reads the bytes of a column of a damaged Parquet file at their place.
func FuzzPages(f *testing.F) {
	for _, name := range []string{"rows-snappy.parquet", "rows-zstd.parquet", "plain.parquet", "../../dataset/testdata/hub/data/test-00000-of-00001.parquet"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		name := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(name, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, column := range []string{"image", "colour"} {
			loader, err := NewLoader([]string{name}, Parquet, column, nil)
			if err != nil {
				return
			}
			for row := range int64(20) {
				loader.Load(Place{Offset: row * row})
			}
		}
	})
}
