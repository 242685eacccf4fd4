package config

import "math"

// Layer is one layer of a model of kind sequential, or one node of a graph. Keys that a layer kind does not have are refused.
type Layer struct {
	Kind    string   `yaml:"kind"`
	Name    string   `yaml:"name" omit:"zero"`    // what the names of its tensors begin with; default: its place in the list
	Inputs  []string `yaml:"inputs" omit:"zero"`  // of a node: the nodes and inputs of the model that it reads; default: the node before it
	Weights string   `yaml:"weights" omit:"zero"` // of a node: the node whose weights it uses instead of its own

	Out           int     `yaml:"out" kinds:"linear,conv,conv1d,conv_transpose,conv_transpose1d,embedding,lstm,gru"` // features or channels that leave the layer
	Kernel        int     `yaml:"kernel" kinds:"conv,conv1d,conv_transpose,conv_transpose1d,max_pool,average_pool"`  // edge of the square window
	Stride        int     `yaml:"stride" kinds:"conv,conv1d,conv_transpose,conv_transpose1d,max_pool,average_pool"`  // default: 1, of pools the kernel
	Padding       int     `yaml:"padding" kinds:"conv,conv1d,conv_transpose,conv_transpose1d,max_pool,average_pool"`
	OutputPadding int     `yaml:"output_padding" kinds:"conv_transpose,conv_transpose1d"`
	Dilation      int     `yaml:"dilation" kinds:"conv,conv1d,conv_transpose,conv_transpose1d"`
	Groups        int     `yaml:"groups" kinds:"conv,conv1d,conv_transpose,conv_transpose1d,group_norm"`
	Bias          bool    `yaml:"bias" kinds:"linear,conv,conv1d,conv_transpose,conv_transpose1d,attention,lstm,gru"`
	Epsilon       float64 `yaml:"epsilon" kinds:"batch_norm,layer_norm,rms_norm,group_norm,instance_norm"`
	Momentum      float64 `yaml:"momentum" kinds:"batch_norm"`                                                                                                 // weight of the newest batch in the running statistics
	Affine        bool    `yaml:"affine" kinds:"group_norm,instance_norm"`                                                                                     // a scale and a shift of each channel; default: of group_norm alone
	Rate          float64 `yaml:"rate" kinds:"dropout,attention,lstm,gru"`                                                                                     // of dropout: of attention's probabilities, between the layers of lstm and gru
	Heads         int     `yaml:"heads" kinds:"attention"`                                                                                                     // divides the width
	Causal        bool    `yaml:"causal" kinds:"attention"`                                                                                                    // a step sees no later one
	Layers        int     `yaml:"layers" kinds:"lstm,gru"`                                                                                                     // one after another
	Bidirectional bool    `yaml:"bidirectional" kinds:"lstm,gru"`                                                                                              // a second one reads from the end
	Form          string  `yaml:"form" kinds:"positions"`                                                                                                      // learned or sinusoidal
	Scale         int     `yaml:"scale" kinds:"upsample"`                                                                                                      // how many times as large
	Mode          string  `yaml:"mode" kinds:"upsample"`                                                                                                       // nearest or bilinear
	Slope         float64 `yaml:"slope" kinds:"leaky_relu"`                                                                                                    // below 0
	Alpha         float64 `yaml:"alpha" kinds:"elu"`                                                                                                           // minus the limit far below 0
	Shape         []int   `yaml:"shape" kinds:"reshape"`                                                                                                       // of a sample; -1: what is left
	Init          string  `yaml:"init" kinds:"linear,conv,conv1d,conv_transpose,conv_transpose1d,embedding,positions,attention,lstm,gru,quantize" omit:"zero"` // first values of the weights; default: PyTorch's
	Gain          float64 `yaml:"gain" kinds:"linear,conv,conv1d,conv_transpose,conv_transpose1d,embedding,positions,attention,lstm,gru,quantize" omit:"zero"` // factor of init
	Fan           string  `yaml:"fan" kinds:"linear,conv,conv1d,conv_transpose,conv_transpose1d,embedding,positions,attention,lstm,gru,quantize" omit:"zero"`  // of init kaiming_*: in or out
	Codes         int     `yaml:"codes" kinds:"quantize"`                                                                                                      // rows of the table
	Commitment    float64 `yaml:"commitment" kinds:"quantize"`                                                                                                 // weight of what pulls the input to its code, beside 1 for what pulls the code
	Stack         []Layer `yaml:"stack" kinds:"residual"`                                                                                                      // x + stack(x)
	Shortcut      []Layer `yaml:"shortcut" kinds:"residual" omit:"zero"`                                                                                       // shortcut(x) + stack(x) instead
}

// LayerKinds are the kinds of layer that a model in the job file is built from.
var LayerKinds = []string{
	"linear", "conv", "conv1d", "conv_transpose", "conv_transpose1d", "embedding", "positions", "attention", "lstm", "gru",
	"batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm",
	"relu", "relu6", "leaky_relu", "elu", "softplus", "gelu", "silu", "sigmoid", "tanh", "softmax", "log_softmax",
	"max_pool", "average_pool", "global_max_pool", "global_average_pool", "upsample",
	"flatten", "reshape", "transpose", "to_sequence", "last_step", "dropout", "quantize", "add", "multiply", "concat", "residual",
}

// Joins reports whether the layer has several inputs, which only a node of a graph can have.
func (l *Layer) Joins() bool { return l.Kind == "add" || l.Kind == "multiply" || l.Kind == "concat" }

// Ways to choose first values of weights, as PyTorch's torch.nn.init has them.
const (
	InitUniform        = "uniform" // within the gain
	InitNormal         = "normal"  // the gain is the deviation
	InitKaimingUniform = "kaiming_uniform"
	InitKaimingNormal  = "kaiming_normal"
	InitXavierUniform  = "xavier_uniform"
	InitXavierNormal   = "xavier_normal"
	InitZeros          = "zeros"

	FanIn  = "in"
	FanOut = "out"

	PositionsLearned    = "learned"
	PositionsSinusoidal = "sinusoidal"

	UpsampleNearest  = "nearest"
	UpsampleBilinear = "bilinear"
)

var initKinds = []string{InitUniform, InitNormal, InitKaimingUniform, InitKaimingNormal, InitXavierUniform, InitXavierNormal, InitZeros}

func setLayerDefaults(o *origin, key string, stack []Layer) {
	for i := range stack {
		l, at := &stack[i], indexed(key, i)
		l.setDefaults(o, at)
		setLayerDefaults(o, at+".stack", l.Stack)
		setLayerDefaults(o, at+".shortcut", l.Shortcut)
	}
}

func (l *Layer) setDefaults(o *origin, at string) {
	def(o, at+".stride", &l.Stride, 1)
	rate := 0.0
	switch l.Kind {
	case "max_pool", "average_pool":
		def(o, at+".stride", &l.Stride, l.Kernel)
	case "dropout":
		rate = 0.5
	}
	def(o, at+".dilation", &l.Dilation, 1)
	if l.Kind != "group_norm" {
		def(o, at+".groups", &l.Groups, 1)
	}
	def(o, at+".bias", &l.Bias, true)
	def(o, at+".epsilon", &l.Epsilon, 1e-5)
	def(o, at+".momentum", &l.Momentum, 0.1)
	def(o, at+".affine", &l.Affine, l.Kind == "group_norm")
	def(o, at+".rate", &l.Rate, rate)
	def(o, at+".heads", &l.Heads, 1)
	def(o, at+".layers", &l.Layers, 1)
	def(o, at+".form", &l.Form, PositionsLearned)
	def(o, at+".scale", &l.Scale, 2)
	def(o, at+".mode", &l.Mode, UpsampleNearest)
	def(o, at+".slope", &l.Slope, 0.01)
	def(o, at+".alpha", &l.Alpha, 1)
	def(o, at+".commitment", &l.Commitment, 0.25)
	switch l.Init {
	case InitKaimingNormal, InitKaimingUniform:
		def(o, at+".gain", &l.Gain, math.Sqrt2)
		def(o, at+".fan", &l.Fan, FanIn)
	case InitUniform, InitNormal, InitXavierNormal, InitXavierUniform:
		def(o, at+".gain", &l.Gain, 1)
	}
}
