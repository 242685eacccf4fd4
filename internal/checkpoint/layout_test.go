package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/plan"
)

// tensorsOf lays tensors of these shapes one after another.
func tensorsOf(prefix string, shapes ...[]int) []Tensor {
	var out []Tensor
	at := 0
	for i, shape := range shapes {
		n, _ := elements(shape)
		out = append(out, Tensor{Name: fmt.Sprintf("%s%d.weight", prefix, i), Shape: shape, Interval: plan.Interval{Begin: at, End: at + int(n)}})
		at += int(n)
	}
	return out
}

func mlp() []Tensor {
	return []Tensor{{Name: "0.weight", Shape: []int{128, 784}, Interval: plan.Interval{Begin: 0, End: 100352}}, {Name: "0.bias", Shape: []int{128}, Interval: plan.Interval{Begin: 100352, End: 100480}},
		{Name: "2.weight", Shape: []int{128, 128}, Interval: plan.Interval{Begin: 100480, End: 116864}}, {Name: "2.bias", Shape: []int{128}, Interval: plan.Interval{Begin: 116864, End: 116992}},
		{Name: "4.weight", Shape: []int{10, 128}, Interval: plan.Interval{Begin: 116992, End: 118272}}, {Name: "4.bias", Shape: []int{10}, Interval: plan.Interval{Begin: 118272, End: 118282}}}
}

func mustLayout(t testing.TB, seats int, params, stats []Tensor, optim ...string) *Layout {
	t.Helper()
	l, err := NewLayout(seats, params, stats, optim)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill gives a state values that are all different, with a few odd ones.
func fill(s *State, seed uint32) *State {
	vectors := [][]float32{s.Params, s.Stats}
	for _, b := range s.Optim {
		vectors = append(vectors, b.Data)
	}
	for _, v := range vectors {
		for i := range v {
			seed = seed*1664525 + 1013904223
			v[i] = math.Float32frombits(seed&0x807fffff | (seed>>25+64)<<23)
		}
	}
	s.Params[0] = float32(math.Copysign(0, -1))
	s.Params[len(s.Params)-1] = math.SmallestNonzeroFloat32
	s.Step, s.Sums = 500, EpochSums{Loss: 1.25, Count: 16000, Correct: 900}
	s.Epochs = []EpochMetrics{{Epoch: 1, Step: 400, TrainLoss: 0.5}}
	return s
}

func TestLayoutOfTheClassifier(t *testing.T) {
	l := mustLayout(t, 4, mlp(), nil, "exp_avg", "exp_avg_sq")
	var got []string
	for _, s := range l.Shares() {
		names := []string{}
		for _, d := range s.dests {
			names = append(names, d.name)
		}
		got = append(got, fmt.Sprintf("%s seat %d: %s", s.Name, s.Seat, strings.Join(names, " ")))
	}
	want := []string{
		"model-00001-of-00004.safetensors seat 0: 0.weight",
		"model-00002-of-00004.safetensors seat 1: 0.bias",
		"model-00003-of-00004.safetensors seat 2: 2.weight",
		"model-00004-of-00004.safetensors seat 3: 2.bias 4.weight 4.bias",
		"optim-00001-of-00004.safetensors seat 0: exp_avg.0.weight exp_avg_sq.0.weight",
		"optim-00002-of-00004.safetensors seat 1: exp_avg.0.bias exp_avg_sq.0.bias",
		"optim-00003-of-00004.safetensors seat 2: exp_avg.2.weight exp_avg_sq.2.weight",
		"optim-00004-of-00004.safetensors seat 3: exp_avg.2.bias exp_avg.4.weight exp_avg.4.bias exp_avg_sq.2.bias exp_avg_sq.4.weight exp_avg_sq.4.bias",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLayoutProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, seats := rapid.IntRange(1, 40).Draw(t, "tensors"), rapid.IntRange(1, 40).Draw(t, "seats")
		var shapes [][]int
		for range n {
			shapes = append(shapes, []int{rapid.IntRange(1, 50).Draw(t, "rows"), rapid.IntRange(1, 4).Draw(t, "columns")})
		}
		params := tensorsOf("p", shapes...)
		shuffled := rapid.Permutation(params).Draw(t, "order")
		l, err := NewLayout(seats, shuffled, nil, []string{"momentum_buffer"})
		if err != nil {
			t.Fatal(err)
		}
		want := min(n, seats, maxShares)
		if len(l.Shares()) != 2*want {
			t.Fatalf("%d shares, want %d", len(l.Shares()), 2*want)
		}
		at, seat := 0, -1
		for k, s := range l.Shares()[:want] {
			if s.Index != k || s.Seat != k*seats/want || s.Seat <= seat || s.Seat >= seats {
				t.Fatalf("share %d sits at seat %d after %d", k, s.Seat, seat)
			}
			seat = s.Seat
			for _, d := range s.dests {
				if d.interval.Begin != at {
					t.Fatalf("share %d: tensor %s begins at %d, want %d", k, d.name, d.interval.Begin, at)
				}
				at = d.interval.End
			}
			// Nearest borders: no share exceeds the even part by more than the longest tensor.
			longest := 0
			for _, p := range params {
				longest = max(longest, p.Interval.Len())
			}
			if got := s.runs[0].interval.Len(); got > l.paramLen/want+1+2*longest {
				t.Fatalf("share %d of %d has %d of %d values, the longest tensor %d", k, want, got, l.paramLen, longest)
			}
		}
		if at != l.paramLen {
			t.Fatalf("the shares end at %d of %d", at, l.paramLen)
		}
	})
}

func TestLayoutRefusals(t *testing.T) {
	good := func() []Tensor { return tensorsOf("p", []int{2, 3}, []int{4}) }
	for _, c := range []struct {
		name   string
		seats  int
		change func(p []Tensor) []Tensor
		stats  []Tensor
		optim  []string
		want   string
	}{
		{"no seats", 0, nil, nil, nil, "0 seats"},
		{"no parameters", 1, func([]Tensor) []Tensor { return nil }, nil, nil, "no parameters"},
		{"hole", 1, func(p []Tensor) []Tensor { return p[1:] }, nil, nil, "is at [6,10) but the one before it ends at 0"},
		{"overlap", 1, func(p []Tensor) []Tensor {
			p[1].Interval, p[1].Shape = plan.Interval{Begin: 5, End: 10}, []int{5}
			return p
		}, nil, nil, "is at [5,10)"},
		{"shape", 1, func(p []Tensor) []Tensor { p[0].Shape = []int{2, 2}; return p }, nil, nil, "has shape [2 2] but 6 values"},
		{"negative shape", 1, func(p []Tensor) []Tensor { p[0].Shape = []int{-2, -3}; return p }, nil, nil, "has shape"},
		{"overflowing shape", 1, func(p []Tensor) []Tensor { p[0].Shape = []int{math.MaxInt, math.MaxInt}; return p }, nil, nil, "has shape"},
		{"name twice", 1, func(p []Tensor) []Tensor { p[1].Name = p[0].Name; return p }, nil, nil, "two tensors are named p0.weight"},
		{"no name", 1, func(p []Tensor) []Tensor { p[1].Name = ""; return p }, nil, nil, "no name"},
		{"the metadata's name", 1, func(p []Tensor) []Tensor { p[1].Name = "__metadata__"; return p }, nil, nil, "no name"},
		{"statistic named like a parameter", 1, nil, tensorsOf("p", []int{1}), nil, "both a parameter and a running statistic"},
		{"buffer twice", 1, nil, nil, []string{"a", "a"}, "two tensors are named a.p0.weight"},
		{"buffer without a name", 1, nil, nil, []string{""}, "no name"},
		{"buffer with a long name", 1, nil, nil, []string{strings.Repeat("x", 256)}, "no name"},
	} {
		p := good()
		if c.change != nil {
			p = c.change(p)
		}
		if _, err := NewLayout(c.seats, p, c.stats, c.optim); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// encodeAll encodes every share.
func encodeAll(t testing.TB, l *Layout, s *State) (files []File, contents [][]byte) {
	t.Helper()
	for k, share := range l.Shares() {
		var b bytes.Buffer
		f, err := l.EncodeShare(&b, k, s)
		if err != nil {
			t.Fatal(err)
		}
		if f.Bytes != int64(b.Len()) || f.Bytes != share.Bytes || f.SHA256 != Hash(sha256.Sum256(b.Bytes())) || f.Name != share.Name {
			t.Fatalf("share %s: %d bytes written, told %+v, layout says %d", share.Name, b.Len(), f, share.Bytes)
		}
		hashed, err := l.EncodeShare(io.Discard, k, s)
		if err != nil || hashed != f {
			t.Fatalf("to nowhere: %+v, %v, want %+v", hashed, err, f)
		}
		var plain bytes.Buffer
		if err := l.WriteShare(&plain, k, s); err != nil || !bytes.Equal(plain.Bytes(), b.Bytes()) {
			t.Fatalf("without the hash: %v, %d bytes", err, plain.Len())
		}
		files, contents = append(files, f), append(contents, b.Bytes())
	}
	return files, contents
}

func TestShareRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shapes [][]int
		for range rapid.IntRange(1, 6).Draw(t, "tensors") {
			shapes = append(shapes, rapid.SliceOfN(rapid.IntRange(1, 9), 0, 3).Draw(t, "shape"))
		}
		stats := tensorsOf("s", []int{3}, []int{})[:rapid.IntRange(0, 2).Draw(t, "stats")]
		optim := []string{"exp_avg", "exp_avg_sq"}[:rapid.IntRange(0, 2).Draw(t, "buffers")]
		l, err := NewLayout(rapid.IntRange(1, 5).Draw(t, "seats"), tensorsOf("p", shapes...), stats, optim)
		if err != nil {
			t.Fatal(err)
		}
		s := l.NewState()
		copy(s.Params, anyBits(t, "params", len(s.Params)))
		copy(s.Stats, anyBits(t, "stats", len(s.Stats)))
		for i := range s.Optim {
			copy(s.Optim[i].Data, anyBits(t, "buffer", len(s.Params)))
		}
		back := l.NewState()
		for k := range l.Shares() {
			var b bytes.Buffer
			f, err := l.EncodeShare(&b, k, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.DecodeShare(&b, k, f, back); err != nil {
				t.Fatal(err)
			}
		}
		if err := sameBits(s, back); err != nil {
			t.Fatal(err)
		}
	})
}

// sameBits compares states value by value; NaNs are equal to each other.
func sameBits(a, b *State) error {
	as, bs := [][]float32{a.Params, a.Stats}, [][]float32{b.Params, b.Stats}
	for i := range a.Optim {
		as, bs = append(as, a.Optim[i].Data), append(bs, b.Optim[i].Data)
	}
	for v := range as {
		for i := range as[v] {
			x, y := math.Float32bits(as[v][i]), math.Float32bits(bs[v][i])
			if as[v][i] != as[v][i] {
				x = canonicalNaN
			}
			if x != y {
				return fmt.Errorf("vector %d, value %d: %08x came back as %08x", v, i, x, y)
			}
		}
	}
	return nil
}

// The bytes of a file are part of the format: a small one is written down whole.
func TestShareGolden(t *testing.T) {
	l := mustLayout(t, 1, []Tensor{{Name: "0.weight", Shape: []int{1, 2}, Interval: plan.Interval{Begin: 0, End: 2}}, {Name: "0.bias", Shape: nil, Interval: plan.Interval{Begin: 2, End: 3}}}, nil)
	var b bytes.Buffer
	if _, err := l.EncodeShare(&b, 0, &State{Params: []float32{1, math.Float32frombits(0xffabcdef), -2}}); err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt"},"0.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"0.bias":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}`
	header += strings.Repeat(" ", 7-(len(header)+7)%8)
	want := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	want = append(want, header...)
	want = append(want, 0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0, 0xc0)
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got  %q\nwant %q", b.Bytes(), want)
	}
}

func TestDecodeShareRefusals(t *testing.T) {
	params := tensorsOf("p", []int{2, 3}, []int{4})
	l := mustLayout(t, 1, params, nil)
	s := fill(l.NewState(), 1)
	files, contents := encodeAll(t, l, s)
	renamed := slices.Clone(params)
	renamed[1].Name = "p1.bias"
	reshaped := slices.Clone(params)
	reshaped[0].Shape = []int{3, 2}
	longer := append(slices.Clone(params), Tensor{Name: "p2.weight", Shape: []int{1}, Interval: plan.Interval{Begin: 10, End: 11}})
	for _, c := range []struct {
		name string
		l    *Layout
		f    func(f File, b []byte) (File, []byte)
		want string
	}{
		{"flipped bit", l, func(f File, b []byte) (File, []byte) { b[len(b)-1] ^= 1; return f, b }, "is damaged (SHA-256 is "},
		{"flipped bit in the header", l, func(f File, b []byte) (File, []byte) { b[20] ^= 1; return f, b }, "is damaged (SHA-256 is "},
		{"cut", l, func(f File, b []byte) (File, []byte) { return f, b[:len(b)-5] }, "is damaged (it has "},
		{"empty", l, func(f File, b []byte) (File, []byte) { return f, nil }, "is damaged (it has 0 bytes"},
		{"longer", l, func(f File, b []byte) (File, []byte) { return f, append(b, 0) }, "is damaged (it has "},
		{"other name", l, func(f File, b []byte) (File, []byte) { f.Name = "optim-00001-of-00001.safetensors"; return f, b }, "is not model-00001-of-00001.safetensors"},
		{"other tensor", mustLayout(t, 1, renamed, nil), nil, "tensor p1.weight is not one of the model's"},
		{"other shape", mustLayout(t, 1, reshaped, nil), nil, "tensor p0.weight has shape [2 3], the model wants [3 2]"},
		{"tensor missing", mustLayout(t, 1, longer, nil), nil, "tensor p2.weight is missing"},
		{"other type", l, func(f File, b []byte) (File, []byte) {
			b = bytes.ReplaceAll(b, []byte(`"F32"`), []byte(`"I32"`))
			f.SHA256 = sha256.Sum256(b)
			return f, b
		}, "tensor p0.weight is I32, want F32"},
	} {
		f, b := files[0], bytes.Clone(contents[0])
		if c.f != nil {
			f, b = c.f(f, b)
		}
		err := c.l.DecodeShare(bytes.NewReader(b), 0, f, c.l.NewState())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	wrong := l.NewState()
	wrong.Params = wrong.Params[1:]
	if _, err := l.EncodeShare(io.Discard, 0, wrong); err == nil {
		t.Error("a state that does not fit was written")
	}
	if err := l.DecodeShare(bytes.NewReader(contents[0]), 0, files[0], wrong); err == nil {
		t.Error("a state that does not fit was read into")
	}
}

func TestReadModel(t *testing.T) {
	stats := tensorsOf("s", []int{2})
	l := mustLayout(t, 3, tensorsOf("p", []int{2, 3}, []int{4}, []int{5}), stats, "exp_avg")
	s := fill(l.NewState(), 9)
	// Any order of tensors is a valid file.
	var slots []slot
	for _, share := range slices.Backward(l.shares) {
		if share.kind != kindOptim {
			slots = append(slots, share.dests...)
		}
	}
	file := encodeHeader(Origin{}.metadata(), nil, slots)
	for _, d := range slots {
		values := s.vector(d.vector)[d.interval.Begin:d.interval.End]
		file = append(file, canonicalCopy(make([]byte, 4*len(values)), values)...)
	}
	got, err := l.ReadModel(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(floatBytes(got.Params), floatBytes(s.Params)) || !reflect.DeepEqual(got.Stats, s.Stats) {
		t.Errorf("parameters or statistics differ")
	}
	if _, err := l.ReadModel(bytes.NewReader(file[:len(file)-1]), int64(len(file)-1)); err == nil {
		t.Error("a cut file was read")
	}
}
