package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/plan"
)

// written is one tensor of a file that a test writes.
type written struct {
	name, dtype string
	shape       []int
	data        []byte
}

func fileWith(tensors ...written) []byte {
	header, data := "{", []byte(nil)
	for i, w := range tensors {
		if i > 0 {
			header += ","
		}
		shape, _ := json.Marshal(append([]int{}, w.shape...))
		header += fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, w.name, w.dtype, shape, len(data), len(data)+len(w.data))
		data = append(data, w.data...)
	}
	return append(prefixLength(header+"}"), data...)
}

func f32(values ...float32) (raw []byte) {
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

func i64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// normed is the layout of a linear layer and a batch norm.
func normed(t *testing.T) *Layout {
	return mustLayout(t, 2,
		[]Tensor{{Name: "0.weight", Shape: []int{1, 2}, Interval: plan.Interval{Begin: 0, End: 2}}, {Name: "1.weight", Shape: []int{1}, Interval: plan.Interval{Begin: 2, End: 3}}},
		[]Tensor{{Name: "1.running_mean", Shape: []int{1}, Interval: plan.Interval{Begin: 0, End: 1}}, {Name: "1.running_var", Shape: []int{1}, Interval: plan.Interval{Begin: 1, End: 2}}}, "exp_avg")
}

// stateDict is what PyTorch saves of that model.
func stateDict(prefix string) []written {
	return []written{{prefix + "0.weight", "F32", []int{1, 2}, f32(1, 2)}, {prefix + "1.num_batches_tracked", "I64", nil, i64(7)},
		{prefix + "1.running_mean", "F32", []int{1}, f32(4)}, {prefix + "1.running_var", "F32", []int{1}, f32(5)}, {prefix + "1.weight", "F32", []int{1}, f32(3)}}
}

func TestReadModelAsPyTorchSavesIt(t *testing.T) {
	halves := stateDict("")
	halves[0].dtype, halves[0].data = "F16", []byte{0x00, 0x3c, 0x00, 0x40}
	halves[4].dtype, halves[4].data = "BF16", []byte{0x40, 0x40}
	files := map[string][]written{"plain": stateDict(""), "halves": halves}
	for _, prefix := range []string{"module.", "model.", "_orig_mod.", "module._orig_mod.", "net.0."} {
		files[prefix] = stateDict(prefix)
	}
	for name, tensors := range files {
		file := fileWith(tensors...)
		s, err := normed(t).ReadModel(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(s.Params, []float32{1, 2, 3}) || !slices.Equal(s.Stats, []float32{4, 5}) {
			t.Errorf("%s: %v %v", name, s.Params, s.Stats)
		}
	}
}

func TestReadModelRefusals(t *testing.T) {
	change := func(k int, w written) []written {
		all := stateDict("module.")
		all[k] = w
		return all
	}
	for _, test := range []struct {
		tensors []written
		want    string
	}{
		{stateDict("module.")[:4], "tensor 1.weight is missing; the file has 3 of the model's 4"},
		{append(stateDict("module."), written{"module.9.bias", "F32", []int{1}, f32(0)}), "tensor module.9.bias is not one of the model's"},
		{append(stateDict("module."), written{"ema.0.weight", "F32", []int{1, 2}, f32(0, 0)}), "tensors module.0.weight, module.1.num_batches_tracked, module.1.running_mean, module.1.running_var and 2 more are not the model's"},
		{change(1, written{"module.0.num_batches_tracked", "I64", nil, i64(7)}), "tensor module.0.num_batches_tracked is not one of the model's"},
		{change(1, written{"module.1.num_batches_tracked", "F32", nil, f32(7)}), "tensor module.1.num_batches_tracked is not one of the model's"},
		{change(0, written{"module.0.weight", "F64", []int{1, 2}, make([]byte, 16)}), "tensor module.0.weight is F64, want F32, F16 or BF16"},
		{change(0, written{"module.0.weight", "F32", []int{2, 1}, f32(1, 2)}), "tensor module.0.weight has shape [2 1], the model wants [1 2]"},
		{append(stateDict("module."), written{"module.9\nbias", "F32", []int{1}, f32(0)}), "module.9 bias is not one of the model's"},
		{nil, "tensors 0.weight, 1.weight, 1.running_mean, 1.running_var are missing; the file has 0 of the model's 4"},
	} {
		file := fileWith(test.tensors...)
		_, err := normed(t).ReadModel(bytes.NewReader(file), int64(len(file)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// An export has the counters that load_state_dict asks for, and can be read back.
func TestExportCounts(t *testing.T) {
	l := normed(t)
	s := fill(l.NewState(), 3)
	files, contents := encodeAll(t, l, s)
	m := &Manifest{Version: ManifestVersion, Job: "j", Step: 500, Generation: 1, Seats: 2, Digest: Digest(s.Params),
		StateDigest: StateDigest(s), Sums: s.Sums, Epochs: s.Epochs, Config: "name: j\n", Files: files}
	c := saved{l, s, m, map[string][]byte{}}
	for i, f := range files {
		c.contents[f.Name] = contents[i]
	}
	store := mustOpen(t, disk.NewMemFS(), "/s")
	must(t, c.put(store, true))
	e, _, err := newestOf(store)
	must(t, err)
	var b bytes.Buffer
	must(t, e.Export(&b))
	size := int64(b.Len())
	h, err := readHeader(bytes.NewReader(b.Bytes()), size)
	must(t, err)
	if first := h.entries[0]; first.name != "1.num_batches_tracked" || first.dtype != "I64" || len(first.shape) != 0 || len(h.entries) != 5 {
		t.Errorf("%+v", h.entries)
	}
	if at := size - h.data; at%8 != 0 || binary.LittleEndian.Uint64(b.Bytes()[at:]) != 500 {
		t.Errorf("the counter at %d is not the step", at)
	}
	back, err := l.ReadModel(&b, size)
	must(t, err)
	if !bytes.Equal(floatBytes(back.Params), floatBytes(s.Params)) || !slices.Equal(back.Stats, s.Stats) {
		t.Error("what was exported is not what was saved")
	}
}

func FuzzReadModel(f *testing.F) {
	for _, prefix := range []string{"", "module.", "a.b."} {
		f.Add(fileWith(stateDict(prefix)...))
	}
	l, err := NewLayout(1, []Tensor{{Name: "0.weight", Shape: []int{1, 2}, Interval: plan.Interval{Begin: 0, End: 2}}, {Name: "1.weight", Shape: []int{1}, Interval: plan.Interval{Begin: 2, End: 3}}},
		[]Tensor{{Name: "1.running_mean", Shape: []int{1}, Interval: plan.Interval{Begin: 0, End: 1}}, {Name: "1.running_var", Shape: []int{1}, Interval: plan.Interval{Begin: 1, End: 2}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if s, err := l.ReadModel(bytes.NewReader(file), int64(len(file))); err == nil && len(s.Params) != 3 {
			t.Errorf("%d parameters", len(s.Params))
		}
	})
}
