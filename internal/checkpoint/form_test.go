package checkpoint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/plan"
)

// foreign is the layout of a model with a table of tokens, a wide and a square matrix, and an output layer of its own or, if tied, none. Another
// ecosystem holds the matrices the other way round, and has biases.
func foreign(t *testing.T, tied bool) *Layout {
	params := []Tensor{{Name: "m.table.weight", Shape: []int{2, 1}, Interval: plan.Interval{Begin: 0, End: 2}}, {Name: "m.wide.weight", Shape: []int{3, 2}, Interval: plan.Interval{Begin: 2, End: 8}},
		{Name: "m.square.weight", Shape: []int{2, 2}, Interval: plan.Interval{Begin: 8, End: 12}}}
	form := Form{Prefix: "m.", Endings: map[string]string{".gamma": ".weight"}, Aliases: map[string]Alias{"m.wide.weight": {"m.wide.weight", []int{1, 0}}, "m.square.weight": {"m.square.weight", []int{1, 0}}},
		Extras: map[string]Extra{"m.mask": {}, "m.wide.bias": {Zeros: []int{3}, Else: "take biases"}}}
	if tied {
		form.Extras["head.weight"] = Extra{Equals: "m.table.weight", Else: "untie them"}
	} else {
		params = append(params, Tensor{Name: "head.weight", Shape: []int{2, 1}, Interval: plan.Interval{Begin: 12, End: 14}})
		form.Shared = map[string]string{"head.weight": "m.table.weight"}
	}
	return mustLayout(t, 1, params, nil).WithForm(form)
}

// foreignFile is a file of that model: its values are 1, 2, ... in the model's own order.
func foreignFile(prefix string) []written {
	return []written{{prefix + "mask", "BOOL", []int{1}, []byte{1}}, {prefix + "square.weight", "F32", []int{2, 2}, f32(9, 11, 10, 12)}, {prefix + "table.weight", "F32", []int{2, 1}, f32(1, 2)},
		{prefix + "wide.bias", "F32", []int{3}, f32(0, 0, 0)}, {prefix + "wide.weight", "F32", []int{2, 3}, f32(3, 5, 7, 4, 6, 8)}}
}

func counted(n int) (values []float32) {
	for i := range n {
		values = append(values, float32(i+1))
	}
	return values
}

func TestReadModelOfAnotherForm(t *testing.T) {
	own := []written{{"m.square.weight", "F32", []int{2, 2}, f32(9, 10, 11, 12)}, {"m.table.weight", "F32", []int{2, 1}, f32(1, 2)}, {"m.wide.weight", "F32", []int{3, 2}, f32(3, 4, 5, 6, 7, 8)}}
	old, alone := foreignFile("m."), foreignFile("")
	old[2].name = "m.table.gamma"
	alone[2].name = "head.weight"
	for name, tensors := range map[string][]written{"own": own, "there": foreignFile("m."), "without prefix": foreignFile(""), "wrapped": foreignFile("module.m."), "old names": old,
		"a copy": append(foreignFile("m."), written{"head.weight", "F32", []int{2, 1}, f32(1, 2)}), "the copy alone": alone} {
		file := fileWith(tensors...)
		s, err := foreign(t, true).ReadModel(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !slices.Equal(s.Params, counted(12)) {
			t.Errorf("%s: %v", name, s.Params)
		}
	}
	file := fileWith(foreignFile("m.")...)
	s, err := foreign(t, false).ReadModel(bytes.NewReader(file), int64(len(file)))
	must(t, err)
	if want := append(counted(12), 1, 2); !slices.Equal(s.Params, want) {
		t.Errorf("a head that the file does not have: %v, want %v", s.Params, want)
	}
}

func TestRefusalsOfAnotherForm(t *testing.T) {
	change := func(k int, w written) []written {
		all := foreignFile("m.")
		all[k] = w
		return all
	}
	for _, test := range []struct {
		tensors []written
		want    string
	}{
		{change(3, written{"m.wide.bias", "F32", []int{3}, f32(0, 0, 1)}), "tensor m.wide.bias is not zero, and the model has no such tensor: take biases"},
		{append(foreignFile("m."), written{"head.weight", "F32", []int{2, 1}, f32(1, 3)}), "tensor head.weight differs from m.table.weight, and in the model they are one: untie them"},
		{append(foreignFile("m."), written{"head.weight", "F16", []int{2, 1}, []byte{0, 0, 0, 0}}), "tensor head.weight differs from m.table.weight"},
		{append(foreignFile("m."), written{"table.weight", "F32", []int{2, 1}, f32(1, 2)}), "tensor m.table.weight is there twice, by two names"},
		{change(1, written{"m.other", "F32", []int{2, 2}, f32(9, 11, 10, 12)}), "tensor m.square.weight is missing; the file has 2 of the model's 3; tensor m.other is not one of the model's"},
	} {
		file := fileWith(test.tensors...)
		_, err := foreign(t, true).ReadModel(bytes.NewReader(file), int64(len(file)))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// What is written in another form is read back, and has its names, shapes and order.
func TestWritePieces(t *testing.T) {
	l := foreign(t, true)
	s := l.NewState()
	copy(s.Params, counted(12))
	pieces := l.Pieces()
	var names []string
	total := int64(0)
	for _, p := range pieces {
		names, total = append(names, p.Name), total+p.Bytes
	}
	if strings.Join(names, " ") != "m.table.weight m.wide.weight m.square.weight m.wide.bias" || total != 4*15 {
		t.Fatalf("%v of %d bytes", names, total)
	}
	var b bytes.Buffer
	must(t, l.WritePieces(&b, pieces, s, Origin{Job: "name: j\n"}))
	h, err := readHeader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	data := b.Bytes()[int64(b.Len())-h.data:]
	if want := f32(1, 2, 3, 5, 7, 4, 6, 8, 9, 11, 10, 12, 0, 0, 0); !bytes.Equal(data, want) || !slices.Equal(h.entries[1].shape, []int{2, 3}) || h.metadata[originJob] != "name: j\n" {
		t.Errorf("%v %v", h.entries, data)
	}
	back, err := l.ReadModel(&b, int64(b.Len()))
	must(t, err)
	if !slices.Equal(back.Params, s.Params) {
		t.Errorf("%v", back.Params)
	}
	n := normed(t)
	b.Reset()
	state := fill(n.NewState(), 3)
	must(t, n.WritePieces(&b, n.Pieces(), state, Origin{}))
	if back, err = n.ReadModel(&b, int64(b.Len())); err != nil || !slices.Equal(back.Stats, state.Stats) {
		t.Errorf("statistics: %v", err)
	}
}
