package onnx

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// decoded is a file as read back.
type decoded struct {
	ir, opset       int
	metadata        map[string]string
	nodes           []readNode
	initializers    []heldTensor
	inputs, outputs []heldTensor
}

type readNode struct {
	op              string
	inputs, outputs []string
}

// heldTensor is a name with a shape, in which -1 is the batch.
type heldTensor struct {
	name  string
	shape []int
	bytes int
}

// fields calls f for each field of a message.
func fields(t *testing.T, m []byte, f func(n protowire.Number, v []byte, i int)) {
	t.Helper()
	for len(m) > 0 {
		n, kind, length := protowire.ConsumeTag(m)
		if length < 0 {
			t.Fatal("the file is no message")
		}
		m = m[length:]
		var v []byte
		var i uint64
		if kind == protowire.BytesType {
			v, length = protowire.ConsumeBytes(m)
		} else if kind == protowire.VarintType {
			i, length = protowire.ConsumeVarint(m)
		} else {
			length = protowire.ConsumeFieldValue(n, kind, m)
		}
		if length < 0 {
			t.Fatalf("field %d is cut off", n)
		}
		f(n, v, int(i))
		m = m[length:]
	}
}

func decode(t *testing.T, file []byte) *decoded {
	t.Helper()
	d := &decoded{metadata: map[string]string{}}
	fields(t, file, func(n protowire.Number, v []byte, i int) {
		switch n {
		case modelIRVersion:
			d.ir = i
		case modelOpset:
			fields(t, v, func(_ protowire.Number, _ []byte, i int) { d.opset = i })
		case modelMetadata:
			var pair [3]string
			fields(t, v, func(n protowire.Number, v []byte, _ int) { pair[n] = string(v) })
			d.metadata[pair[entryKey]] = pair[entryValue]
		case modelGraph:
			d.graph(t, v)
		}
	})
	return d
}

func (d *decoded) graph(t *testing.T, m []byte) {
	t.Helper()
	fields(t, m, func(n protowire.Number, v []byte, _ int) {
		switch n {
		case graphNode:
			var node readNode
			fields(t, v, func(n protowire.Number, v []byte, _ int) {
				switch n {
				case nodeInput:
					node.inputs = append(node.inputs, string(v))
				case nodeOutput:
					node.outputs = append(node.outputs, string(v))
				case nodeOp:
					node.op = string(v)
				}
			})
			d.nodes = append(d.nodes, node)
		case graphInitializer:
			var held heldTensor
			elements := 4
			fields(t, v, func(n protowire.Number, v []byte, i int) {
				switch n {
				case tensorDims:
					held.shape = append(held.shape, i)
				case tensorKind:
					if i == int64Elements {
						elements = 8
					}
				case tensorName:
					held.name = string(v)
				case tensorRaw:
					held.bytes = len(v) / elements
				}
			})
			d.initializers = append(d.initializers, held)
		case graphInput:
			d.inputs = append(d.inputs, portOf(t, v))
		case graphOutput:
			d.outputs = append(d.outputs, portOf(t, v))
		}
	})
}

func portOf(t *testing.T, m []byte) (p heldTensor) {
	t.Helper()
	fields(t, m, func(n protowire.Number, v []byte, _ int) {
		if n == valueName {
			p.name = string(v)
			return
		}
		fields(t, v, func(_ protowire.Number, v []byte, _ int) {
			fields(t, v, func(n protowire.Number, v []byte, _ int) {
				fields(t, v, func(_ protowire.Number, v []byte, _ int) { // of the shape
					fields(t, v, func(n protowire.Number, _ []byte, i int) {
						if n == dimensionNamedLength {
							i = -1
						}
						p.shape = append(p.shape, i)
					})
				})
			})
		})
	})
	return p
}

// checkNames checks the order of the nodes and the use of every name.
func (d *decoded) checkNames(t *testing.T) {
	t.Helper()
	there, read := map[string]bool{"": true}, map[string]bool{}
	give := func(name string) {
		if there[name] {
			t.Errorf("%q is there twice", name)
		}
		there[name] = true
	}
	for _, p := range d.inputs {
		give(p.name)
	}
	for _, i := range d.initializers {
		give(i.name)
		size := 1
		for _, n := range i.shape {
			size *= n
		}
		if size != i.bytes {
			t.Errorf("%s of %v has %d elements", i.name, i.shape, i.bytes)
		}
	}
	for _, n := range d.nodes {
		for _, in := range n.inputs {
			read[in] = true
			if !there[in] {
				t.Errorf("%s %s reads %q, which is not there before it", n.op, n.outputs[0], in)
			}
		}
		for _, out := range n.outputs {
			give(out)
		}
	}
	for _, p := range d.outputs {
		read[p.name] = true
	}
	for name := range there {
		if !read[name] && name != "" {
			t.Errorf("nothing reads %q", name)
		}
	}
}
