// Package tensor turns a model into a program that is recorded once for a batch shape and then replayed without
// allocating. A Graph records operations on Values; Compile plans the memory of all activations and gradients by their
// lifetimes in one arena; the Program runs forward and backward.
//
// Parameters and their gradients are views of flat vectors that belong to the caller. Activations of images are kept
// channels last, (N, H, W, C), so that a 1x1 convolution is a matrix product and the channels of a pixel are a vector.
// Parameters keep PyTorch's shapes and order of elements.
//
// Every operation has one fixed order of floating-point operations for each element it writes, whatever the number of
// threads: threads divide outputs, never a sum.
package tensor

import (
	"fmt"

	"ringmaster/internal/plan"
)

// Value is a tensor of a Graph: an input, a parameter or the result of an operation. Its elements are in row-major order.
type Value struct {
	Shape []int
	*storage
}

// Integers is an input of whole numbers. Its elements are in row-major order.
type Integers struct {
	Shape []int
	data  []int32
}

// Data is the numbers. It is valid while the program runs.
func (v *Integers) Data() []int32 { return v.data }

// Size is the number of elements.
func (v *Integers) Size() int { return Volume(v.Shape) }

// storage is what values that only differ in shape share.
type storage struct {
	number   int // in the graph
	size     int
	role     role
	constant bool          // an input that stays as it is
	interval plan.Interval // of a parameter in the flat vector
	slope    plan.Interval // of its gradient in the flat gradient, where one is wanted
	wanted   bool          // a gradient flows into it
	data     *buffer
	grad     *buffer // nil where no gradient is wanted
	sinks    []*sink // who writes its gradient, in the order of recording
}

type role uint8

const (
	activation role = iota // lives in the arena
	input                  // bound to the caller's batch
	parameter              // a view of the flat vectors
)

// buffer is memory that a program plans or that a caller binds: while it is alive, from the time first to the time last,
// nothing else may use its place.
type buffer struct {
	data        []float32
	size        int
	first, last int // times in the program's order; last < first: never used
	offset      int // in the arena
	alias       *buffer
	again       *buffer // where it lives once it is computed again; nil: where it was
	settling    made    // what settle does while the buffer is made
	narrow      bool    // Backward finds it rounded
	codes       *buffer // of bfloat16, in which Backward finds it; nil: it is kept as it is
}

func newBuffer(size int) *buffer { return &buffer{size: size, first: 1, last: 0} }

// root is the buffer whose place this one takes.
func (b *buffer) root() *buffer {
	for b.alias != nil {
		b = b.alias
	}
	return b
}

// later is the buffer's place after what is dropped has been computed again.
func (b *buffer) later() *buffer {
	if b.again != nil {
		return b.again
	}
	return b
}

// source is where Backward finds what the buffer held.
func (b *buffer) source() *buffer {
	if b.codes != nil {
		return b.codes
	}
	return b.later()
}

// touch extends the buffer's life to the time t.
func (b *buffer) touch(t int) {
	b = b.root()
	if b.last < b.first {
		b.first, b.last = t, t
		return
	}
	b.first, b.last = min(b.first, t), max(b.last, t)
}

// Data is the value's elements. It is valid while the program runs.
func (v *Value) Data() []float32 { return v.data.data }

// Dim is the length of axis k; a negative k counts from the last axis.
func (v *Value) Dim(k int) int {
	if k < 0 {
		k += len(v.Shape)
	}
	return v.Shape[k]
}

// Size is the number of elements.
func (v *Value) Size() int { return v.size }

// Rows is the number of vectors along the last axis.
func (v *Value) Rows() int {
	if last := v.Dim(-1); last != 0 {
		return v.size / last
	}
	return 0
}

// Volume is the number of elements of a shape.
func Volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// invariant panics: a graph that does not fit together is a mistake in the model's code, since models check what people
// wrote before they record anything.
func invariant(ok bool, format string, args ...any) {
	if !ok {
		panic("tensor: " + fmt.Sprintf(format, args...))
	}
}
