package model

import (
	"strconv"

	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// form says what a sample is that goes from one layer to the next. Its axes are PyTorch's. In memory channels and features lie
// last, so a signal and a sequence with its axes exchanged are the same.
type form uint8

const (
	vector   form = iota // (features)
	tokens               // (steps): whole numbers, which an embedding reads
	sequence             // (steps, features)
	signal               // (channels, length)
	images               // (channels, height, width)
)

// shape is the shape of a sample.
type shape struct {
	form form
	dims []int // as PyTorch has them

	field      string // of tokens: where in the data they are
	vocabulary int    // of tokens: how many there are
}

func vectorOf(n int) shape            { return shape{form: vector, dims: []int{n}} }
func sequenceOf(steps, n int) shape   { return shape{form: sequence, dims: []int{steps, n}} }
func signalOf(c, length int) shape    { return shape{form: signal, dims: []int{c, length}} }
func imagesOf(c, height, w int) shape { return shape{form: images, dims: []int{c, height, w}} }

// size is the number of values; beyond maxActivation it is maxActivation+1, since what a job file asks for can be beyond any integer.
func (s shape) size() int {
	n := 1
	for _, d := range s.dims {
		if d > 0 && n > maxActivation/d {
			return maxActivation + 1
		}
		n *= d
	}
	return n
}

// features is the length of the axis that lies last in memory.
func (s shape) features() int {
	if s.form == sequence {
		return s.dims[1]
	}
	return s.dims[0]
}

// steps is the number of vectors of features.
func (s shape) steps() int { return tensor.Volume(s.dims) / max(s.features(), 1) }

// with is the shape with another number of features.
func (s shape) with(features int) shape {
	dims := append([]int{}, s.dims...)
	if s.form == sequence {
		dims[1] = features
	} else {
		dims[0] = features
	}
	return shape{form: s.form, dims: dims}
}

func (s shape) equals(other shape) bool {
	return s.form == other.form && extent(s.dims) == extent(other.dims)
}

// String says what it is: "8 values", "images of 3 x 32 x 32".
func (s shape) String() string {
	switch s.form {
	case tokens:
		return plural.Of(s.dims[0], "token")
	case sequence:
		return "a sequence of " + plural.Of(s.dims[0], "step") + " of " + plural.Of(s.dims[1], "value")
	case signal:
		return "a signal of " + plural.Of(s.dims[0], "channel") + " of " + plural.Of(s.dims[1], "value")
	case images:
		return "images of " + extent(s.dims)
	}
	return plural.Of(s.dims[0], "value")
}

// extent writes a shape as "3 x 32 x 32".
func extent(dims []int) string {
	s := ""
	for i, d := range dims {
		if i > 0 {
			s += " x "
		}
		s += strconv.Itoa(d)
	}
	return s
}
