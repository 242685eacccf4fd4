package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Versions of the format, from onnx.proto of ONNX 1.13.
const (
	irVersion = 8
	opset     = 17
)

// Kinds of elements: TensorProto.DataType.
const (
	floatElements = 1
	int64Elements = 7
)

// Fields of the messages, as numbered in onnx.proto.
const (
	modelIRVersion, modelProducer         = 1, 2
	modelGraph, modelOpset, modelMetadata = 7, 8, 14

	opsetVersion = 2

	entryKey, entryValue = 1, 2

	graphNode, graphName, graphInitializer, graphInput, graphOutput = 1, 2, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute = 1, 2, 3, 4, 5

	attributeName, attributeFloat, attributeInt, attributeString, attributeInts, attributeType = 1, 2, 3, 4, 8, 20

	tensorDims, tensorKind, tensorName, tensorRaw = 1, 2, 8, 9

	valueName, valueType                  = 1, 2
	typeTensor                            = 1
	tensorTypeElements, tensorTypeShape   = 1, 2
	shapeDimension                        = 1
	dimensionLength, dimensionNamedLength = 1, 2
)

// Types of attributes: AttributeProto.AttributeType.
const (
	typeFloat, typeInt, typeString, typeInts = 1, 2, 3, 7
)

// message is an encoded message under way.
type message []byte

func (m *message) integer(field protowire.Number, v int) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

func (m *message) inner(field protowire.Number, v message) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

// begin begins a field of the given length, whose bytes follow.
func (m *message) begin(field protowire.Number, length int) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.BytesType), uint64(length))
}

// attribute is a setting of a node: a float32, an int, a string or a []int.
type attribute struct {
	name  string
	value any
}

func (a attribute) encode() message {
	var m message
	m.text(attributeName, a.name)
	kind := 0
	switch v := a.value.(type) {
	case float32:
		kind = typeFloat
		m = protowire.AppendFixed32(protowire.AppendTag(m, attributeFloat, protowire.Fixed32Type), math.Float32bits(v))
	case int:
		kind = typeInt
		m.integer(attributeInt, v)
	case string:
		kind = typeString
		m.text(attributeString, v)
	case []int:
		kind = typeInts
		for _, i := range v {
			m.integer(attributeInts, i)
		}
	}
	m.integer(attributeType, kind)
	return m
}

// port is the name and the type of an input or an output, whose first axis is the batch.
func port(name string, kind int, shape []int) message {
	var dims, elements, kinds, m message
	var batch message
	batch.text(dimensionNamedLength, "batch")
	dims.inner(shapeDimension, batch)
	for _, d := range shape {
		var dim message
		dim.integer(dimensionLength, d)
		dims.inner(shapeDimension, dim)
	}
	elements.integer(tensorTypeElements, kind)
	elements.inner(tensorTypeShape, dims)
	kinds.inner(typeTensor, elements)
	m.text(valueName, name)
	m.inner(valueType, kinds)
	return m
}

func entry(key, value string) message {
	var m message
	m.text(entryKey, key)
	m.text(entryValue, value)
	return m
}
