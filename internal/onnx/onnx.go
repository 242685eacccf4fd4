// Package onnx writes a model as an ONNX file (opset 17), which other programs run without Ringmaster: onnxruntime, browsers, phones.
//
// It translates the operations that the model records for prediction, so it knows no families and no layers, and what can be trained can
// be written. The size of a batch is left open. Images go through the file as ONNX and PyTorch have them, channels first: an
// operation is translated in the order in which its input is at hand, and axes are exchanged only where two orders meet.
package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"ringmaster/internal/model"
)

// maxBytes bounds a file: a message of Protocol Buffers is smaller than 2 GiB.
const maxBytes = math.MaxInt32

// Write writes the model with its parameters and running statistics to w. The inputs are named as the fields of the data that the model
// reads, and the outputs as the targets; about goes into the file's metadata. Nothing is written of a model that ONNX cannot express, or
// that is too large for one file.
func Write(w io.Writer, m *model.Model, params, stats []float32, about map[string]string) error {
	c, err := m.Computation()
	if err != nil {
		return err
	}
	g, err := translate(c, m.Params(), m.Stats(), params, stats)
	if err != nil {
		return err
	}
	return g.write(w, about, maxBytes)
}

// initializer is a tensor that the file holds: numbers, or whole numbers.
type initializer struct {
	name     string
	shape    []int
	floats   []float32
	integers []int
}

// head is the initializer without its elements, and the number of bytes that these take.
func (t *initializer) head() (m message, bytes int) {
	for _, d := range t.shape {
		m.integer(tensorDims, d)
	}
	kind := floatElements
	bytes = 4 * len(t.floats)
	if t.integers != nil {
		kind, bytes = int64Elements, 8*len(t.integers)
	}
	m.integer(tensorKind, kind)
	m.text(tensorName, t.name)
	m.begin(tensorRaw, bytes)
	return m, bytes
}

// write writes the file, if it is smaller than the limit; the initializers piece by piece, since they may be as large as the memory.
func (g *graph) write(w io.Writer, about map[string]string, limit int64) error {
	var last message // of the graph, behind the initializers
	last.text(graphName, "ringmaster")
	for _, p := range g.inputs {
		last.inner(graphInput, p)
	}
	for _, p := range g.outputs {
		last.inner(graphOutput, p)
	}
	heads := make([]message, len(g.initializers))
	size := int64(len(g.nodes) + len(last))
	for i := range g.initializers {
		head, bytes := g.initializers[i].head()
		heads[i].begin(graphInitializer, len(head)+bytes)
		heads[i] = append(heads[i], head...)
		size += int64(len(heads[i])) + int64(bytes)
	}
	first := g.preamble(about)
	if size+int64(len(first)) > limit-16 {
		return fmt.Errorf("the model takes %d bytes in ONNX, which holds less than 2 GiB in one file; export it as safetensors", size)
	}
	first.begin(modelGraph, int(size))
	if _, err := w.Write(append(first, g.nodes...)); err != nil {
		return err
	}
	for i := range g.initializers {
		if _, err := w.Write(heads[i]); err != nil {
			return err
		}
		if err := g.initializers[i].writeElements(w); err != nil {
			return err
		}
	}
	_, err := w.Write(last)
	return err
}

// preamble is the file before its graph.
func (g *graph) preamble(about map[string]string) message {
	var m, operators message
	m.integer(modelIRVersion, irVersion)
	m.text(modelProducer, "ringmaster")
	operators.integer(opsetVersion, opset)
	m.inner(modelOpset, operators)
	for _, key := range slices.Sorted(maps.Keys(about)) {
		m.inner(modelMetadata, entry(key, about[key]))
	}
	return m
}

// pieceElements is how many elements are encoded at a time.
const pieceElements = 1 << 16

func (t *initializer) writeElements(w io.Writer) error {
	var piece []byte
	for part := range slices.Chunk(t.floats, pieceElements) {
		piece = piece[:0]
		for _, v := range part {
			piece = binary.LittleEndian.AppendUint32(piece, math.Float32bits(v))
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	piece = piece[:0]
	for _, v := range t.integers {
		piece = binary.LittleEndian.AppendUint64(piece, uint64(v))
	}
	_, err := w.Write(piece)
	return err
}
