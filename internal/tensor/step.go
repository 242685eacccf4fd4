package tensor

import (
	"fmt"

	"ringmaster/internal/plan"
)

// Step is a recorded operation as others may read it, to write a model down in another form.
type Step struct {
	What  any // one of the types below that end in Step; its values may be nil where the Graph's method takes nil
	Makes *Value
}

// The operations, each with what the method of Graph that records it is given.
type (
	LinearStep struct { // Linear
		X, W, B *Value
		ReLU    bool
	}
	ConvStep struct { // Conv
		X, W, B *Value
		Window  Window
		Groups  int
		ReLU    bool
	}
	ConvTransposeStep struct { // ConvTranspose
		X, W, B *Value
		Window  Window
		Groups  int
		Extra   int
	}
	AttentionStep struct { // Attention
		Q, K, V Columns
		Options AttentionOptions
	}
	BatchNormStep struct { // BatchNorm
		X, Gamma, Beta *Value
		Epsilon        float32
		Mean, Variance plan.Interval
		Activation     BatchNormActivation
	}
	NormStep struct { // LayerNorm and RMSNorm
		X, Gamma, Beta *Value
		Epsilon        float32
		RMS            bool
	}
	ChannelAffineStep struct{ X, Gamma, Beta *Value } // ChannelAffine
	ScaleChannelsStep struct{ X, S *Value }           // ScaleChannels
	PoolStep          struct {                        // MaxPool and AveragePool
		X       *Value
		Window  Window
		Largest bool
	}
	AdaptivePoolStep struct { // AdaptiveAveragePool
		X             *Value
		Height, Width int
	}
	UpsampleStep struct { // Upsample
		X        *Value
		Scale    int
		Bilinear bool
	}
	AddStep       struct{ A, B *Value }     // Add
	MultiplyStep  struct{ A, B *Value }     // Multiply
	PositionsStep struct{ X, Table *Value } // Positions
	RotaryStep    struct {                  // Rotary
		X, Table *Value
		Dim      int
		Places   *Integers
	}
	PickStep struct { // Step
		X *Value
		T int
	}
	TransposeStep struct{ X *Value } // Transpose
	SliceStep     struct {           // Slice
		X          *Value
		Begin, End int
	}
	ConcatStep  struct{ Parts []*Value } // Concat
	SoftmaxStep struct {                 // Softmax and LogSoftmax
		X   *Value
		Log bool
	}
	EmbeddingStep struct { // Embedding
		Tokens           *Integers
		Table, Positions *Value
	}
	RecurrentStep struct { // LSTM and GRU
		X, W, B      *Value
		GRU, Reverse bool
	}
	FunctionStep struct { // a function of each element
		X        *Value
		Function Function
		Slope    float32 // of LeakyReLU; ELU's alpha; Scale's factor
	}
	QuantizeStep     struct{ X, Table *Value } // Quantize
	RelativeBiasStep struct {                  // RelativeBias
		Table   *Value
		Options RelativeOptions
	}
)

// Function names a function of each element.
type Function uint8

// The functions, named as the methods of Graph.
const (
	ReLUFunction Function = iota
	ReLU6Function
	SigmoidFunction
	TanhFunction
	GELUFunction
	GELUTanhFunction
	SiLUFunction
	SoftplusFunction
	LeakyReLUFunction
	ELUFunction
	ScaleFunction
)

// described is an operation that others may read. Those that end a graph for training, such as losses, are not.
type described interface{ step() Step }

// Steps are the operations recorded so far, in their order. It is an error where one cannot be read.
func (g *Graph) Steps() ([]Step, error) {
	steps := make([]Step, len(g.nodes))
	for i, n := range g.nodes {
		d, ok := n.op.(described)
		if !ok {
			return nil, fmt.Errorf("the operation %T has no form in which others can read it", n.op)
		}
		steps[i] = d.step()
	}
	return steps, nil
}

// Number is the same for values that differ only in shape, and another for all others of the graph. They are counted from 0.
func (v *Value) Number() int { return v.number }

// Parameter is where in the flat vector a parameter lies.
func (v *Value) Parameter() (at plan.Interval, is bool) { return v.interval, v.role == parameter }

// Constant is the elements of a Constant; nil for other values.
func (v *Value) Constant() []float32 {
	if !v.constant {
		return nil
	}
	return v.data.data
}

func (o *linear) step() Step {
	return Step{LinearStep{o.x, o.w, o.b, o.act != 0}, o.y}
}

func (o *conv) step() Step {
	return Step{ConvStep{o.x, o.w, o.b, o.Window, o.groups, o.act != 0}, o.y}
}

func (o *depthwise) step() Step {
	return Step{ConvStep{X: o.x, W: o.w, Window: o.Window, Groups: o.channels}, o.y}
}

func (o *convTranspose) step() Step {
	return Step{ConvTransposeStep{o.x, o.w, o.b, o.Window, o.groups, o.extra}, o.y}
}

func (o *attention) step() Step {
	return Step{AttentionStep{o.q, o.k, o.v, o.AttentionOptions}, o.y}
}

func (o *batchNorm) step() Step {
	return Step{BatchNormStep{o.x, o.gamma, o.beta, o.epsilon, o.runMean, o.runVar, o.activation}, o.y}
}

func (o *norm) step() Step { return Step{NormStep{o.x, o.gamma, o.beta, o.epsilon, o.rms}, o.y} }

func (o *channelAffine) step() Step { return Step{ChannelAffineStep{o.x, o.gamma, o.beta}, o.y} }

func (o *channelScale) step() Step { return Step{ScaleChannelsStep{o.x, o.s}, o.y} }

func (o *maxPool) step() Step { return Step{PoolStep{o.x, o.Window, true}, o.y} }

func (o *averagePool) step() Step { return Step{PoolStep{o.x, o.Window, false}, o.y} }

func (o *adaptivePool) step() Step { return Step{AdaptivePoolStep{o.x, o.outHeight, o.outWidth}, o.y} }

func (o *upsample) step() Step { return Step{UpsampleStep{o.x, o.scale, o.bilinear}, o.y} }

func (o *sum) step() Step { return Step{AddStep{o.a, o.b}, o.y} }

func (o *product) step() Step { return Step{MultiplyStep{o.a, o.b}, o.y} }

func (o *positions) step() Step { return Step{PositionsStep{o.x, o.table}, o.y} }

func (o *rotary) step() Step { return Step{RotaryStep{o.x, o.table, o.dim, o.places}, o.y} }

func (o *step) step() Step { return Step{PickStep{o.x, o.t}, o.y} }

func (o *transpose) step() Step { return Step{TransposeStep{o.x}, o.y} }

func (o *slice) step() Step { return Step{SliceStep{o.x, o.begin, o.begin + o.y.Dim(-1)}, o.y} }

func (o *concat) step() Step { return Step{ConcatStep{o.parts}, o.y} }

func (o *softmax) step() Step { return Step{SoftmaxStep{o.x, o.log}, o.y} }

func (o *embedding) step() Step { return Step{EmbeddingStep{o.tokens, o.table, o.positions}, o.y} }

func (o *quantize) step() Step { return Step{QuantizeStep{o.x, o.table}, o.y} }

func (o *relativeBias) step() Step { return Step{RelativeBiasStep{o.table, o.options}, o.y} }

func (o *recurrent) step() Step {
	_, gru := o.cell.(*gruCell)
	return Step{RecurrentStep{o.x, o.w, o.b, gru, o.reverse}, o.y}
}

func (o *elementwise) step() Step { return Step{o.what, o.y} }
