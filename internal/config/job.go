// Package config reads the files that people write: job files and the files of the two daemons. It is strict (unknown
// and duplicate keys, wrong types and values out of range are errors), reports all problems at once, each with file,
// line and column, and knows which keys the bits of a job depend on.
//
// A struct here is a mapping in the file. The tag yaml names the key. The tag kinds lists the kinds (the sibling key
// kind) for which a key exists; for other kinds the key is refused and its field is zero. The tag contract says what a
// resumed job may change: nothing without the tag, anything with "free", the end of the run with "end".
package config

import "ringmaster/internal/plan"

// Job is one training run as submitted, all defaults filled in. It is made by Load, Parse or Decode, never by hand,
// so it is always valid.
type Job struct {
	Name       string     `yaml:"name" contract:"free"` // letters, digits, '-', '_' and '.': part of folder names
	Seed       uint64     `yaml:"seed"`
	Seats      int        `yaml:"seats"` // virtual ranks, fixed for the job's life
	Model      Model      `yaml:"model"`
	Data       Data       `yaml:"data"`
	Train      Train      `yaml:"train"`
	Checkpoint Checkpoint `yaml:"checkpoint" contract:"free"`

	MinWorkers int  `yaml:"min_workers" contract:"free"`             // with fewer the job pauses
	MaxWorkers int  `yaml:"max_workers" contract:"free" omit:"zero"` // it takes no more; 0: as many as seats
	Balance    bool `yaml:"balance" contract:"free"`                 // seats follow the workers' speeds; else arcs are even

	origin *origin // where each key was written; nil in a zero Job
}

// Kinds of model.
const (
	ModelMLP         = "mlp"
	ModelGPT         = "gpt"
	ModelLLaMA       = "llama"
	ModelBERT        = "bert"
	ModelT5          = "t5"
	ModelMobileNetV2 = "mobilenetv2"
	ModelSequential  = "sequential"
	ModelGraph       = "graph"
)

// Activations of transformers, by Hugging Face's names.
const (
	ActivationGELU    = "gelu"     // by erf
	ActivationGELUNew = "gelu_new" // by tanh, as GPT-2's
)

// Forms of a model that libraries write differently.
const FormTorchvision = "torchvision" // beside FormKeras

// Model says which network is trained. What it reads and predicts (input shape, classes, vocabulary) comes from the
// data; a model that states its own must agree with the data.
type Model struct {
	Kind   string `yaml:"kind"`
	Layers []int  `yaml:"layers" kinds:"mlp"` // widths from the input to the classes; ReLU between them

	Depth int  `yaml:"depth" kinds:"gpt,llama,bert,t5"` // transformer blocks; t5: of the encoder, and as many of the decoder
	Heads int  `yaml:"heads" kinds:"gpt,llama,bert,t5"` // attention heads; divides Width
	Width int  `yaml:"width" kinds:"gpt,llama,bert,t5"` // embedding width
	Bias  bool `yaml:"bias" kinds:"gpt"`                // biases in linear layers and norms

	Activation string `yaml:"activation" kinds:"gpt,bert" omit:"gelu"`          // between a block's two linear layers
	Positions  int    `yaml:"positions" kinds:"gpt,llama,bert" omit:"zero"`     // rows of the table of positions, and of a llama the most tokens; 0: the data's context
	Vocabulary int    `yaml:"vocabulary" kinds:"gpt,llama,bert,t5" omit:"zero"` // tokens of the embedding and the output; 0: the data's

	Hidden    int  `yaml:"hidden" kinds:"gpt,llama,bert,t5" omit:"zero"` // width between a block's two linear layers; 0: four times Width
	HeadWidth int  `yaml:"head_width" kinds:"llama,t5" omit:"zero"`      // of a head's queries, keys and values; 0: Width over Heads
	Tied      bool `yaml:"tied" kinds:"llama,t5" omit:"true"`            // the output layer is the token embedding
	KVHeads   int  `yaml:"kv_heads" kinds:"llama" omit:"zero"`           // heads of keys and values, each for a group of Heads; 0: Heads
	Buckets   int  `yaml:"buckets" kinds:"t5"`                           // of relative positions
	Distance  int  `yaml:"distance" kinds:"t5"`                          // from which on relative positions share the last bucket

	RopeTheta float64 `yaml:"rope_theta" kinds:"llama"` // base of the frequencies of rotary positions
	Epsilon   float64 `yaml:"epsilon" kinds:"llama"`    // of the RMS norms

	Variant string `yaml:"variant" kinds:"mobilenetv2"`                 // imagenet, or cifar: stride 1 in the stem and in stage 2
	Form    string `yaml:"form" kinds:"mobilenetv2" omit:"torchvision"` // whose padding, batch norms and first values it has

	Dropout float64 `yaml:"dropout" kinds:"gpt,llama,bert,t5,mobilenetv2"` // probability of dropping an element

	Stack []Layer `yaml:"stack" kinds:"sequential"` // the layers, first to last

	Inputs  []string `yaml:"inputs" kinds:"graph"` // what the nodes call the data's inputs
	Nodes   []Layer  `yaml:"nodes" kinds:"graph"`  // in any order; that of the parameters is the list's
	Output  string   `yaml:"output" kinds:"graph"` // the node that the targets are compared with; default: the one that no other reads
	outputs []string // the nodes that train.losses name; nil: Output alone

	Init       string   `yaml:"init" omit:"zero"`        // weights to begin from: a safetensors file, a folder of shards, or a run; empty: the seed's
	InitDigest string   `yaml:"init_digest" omit:"zero"` // of these weights; filled in when the job is submitted, so that all workers read the same
	InitStrict bool     `yaml:"init_strict" omit:"true"` // every tensor must be there and no other
	InitSkip   []string `yaml:"init_skip" omit:"zero"`   // patterns: tensors that are not taken

	Freeze []string `yaml:"freeze" omit:"zero"` // patterns: parameters that stay as they are
	LoRA   LoRA     `yaml:"lora" omit:"zero"`   // low-rank adapters of linear layers; all other parameters stay as they are
}

// LoRA is adapters of low rank: a linear layer gives alpha/rank·B·A·x more, and only A and B are trained.
type LoRA struct {
	Rank    int      `yaml:"rank"`
	Alpha   float64  `yaml:"alpha"`
	Targets []string `yaml:"targets"`           // patterns: the linear layers
	Dropout float64  `yaml:"dropout"`           // probability of dropping an element of x
	Train   []string `yaml:"train" omit:"zero"` // patterns: parameters that are trained too, such as a new head
}

// Kinds of data.
const (
	DataGlyphs = "glyphs" // embedded digits
	DataMNIST  = "mnist"  // IDX files
	DataText   = "text"   // a text file, or a folder of them, for language models
	DataImages = "images" // CIFAR-10 as an archive of JPEGs, or a folder train/<class>/*.jpg, test/<class>/*.jpg
	DataShards = "shards" // a packed set, whose index says of which kind it is
)

// Filters of scaling.
const (
	FilterBilinear = "bilinear" // with antialias, as Pillow and torchvision
	FilterNearest  = "nearest"
)

// Encodings of text files.
const (
	EncodingUTF8   = "utf-8"
	EncodingLatin1 = "latin-1"
	EncodingBytes  = "bytes" // none: tokens are bytes
)

// Kinds of data that are tables.
const (
	DataCSV     = "csv"
	DataTSV     = "tsv"
	DataJSONL   = "jsonl"
	DataParquet = "parquet"
	DataNPY     = "npy"
	DataNPZ     = "npz"
)

// Kinds of data that are pictures beside other columns.
const (
	DataImageTable = "image_table" // a table that names picture files, or holds them
	DataWebDataset = "webdataset"  // tar shards, in which the files of one name are a sample
)

// DataPairs is pairs of texts: two files with as many lines, or two columns of a table.
const DataPairs = "pairs"

// What the tokens of pairs are.
const (
	TokensWords      = "words"
	TokensCharacters = "characters"
)

// What is done about a missing value.
const (
	MissingError = "error"
	MissingDrop  = "drop"
)

// DefaultCacheMiB bounds what is kept of packed sets that are read over HTTP, unless data.cache_mib does.
const DefaultCacheMiB = 10 << 10

// BalanceClasses is the order in which each class is drawn equally often.
const BalanceClasses = "classes"

// Data says which samples are read.
type Data struct {
	Kind string `yaml:"kind"`
	Dir  string `yaml:"dir" kinds:"mnist,text,images,image_table" contract:"free"` // folder (or file, for text) on every worker's machine

	Path     string `yaml:"path" omit:"zero" contract:"free"`                   // of a packed set that is read instead, a folder or a URL
	Cache    string `yaml:"cache" omit:"zero" contract:"free"`                  // folder for what is kept between runs; empty: in the user's cache folder
	Recheck  bool   `yaml:"recheck" kinds:"images" omit:"zero" contract:"free"` // decode all pictures for the fingerprint, whatever is remembered of them
	CacheMiB int    `yaml:"cache_mib" omit:"zero" contract:"free"`              // bound on what of packed sets is kept there; 0: DefaultCacheMiB

	LeftOut float64 `yaml:"left_out" kinds:"text,images" contract:"free"` // the largest share of files that look like data that may be left out

	Context       int    `yaml:"context" kinds:"text,pairs,csv,tsv,jsonl,parquet" omit:"zero"` // tokens a sample; of a table those of its Texts
	TargetContext int    `yaml:"target_context" kinds:"pairs"`                                 // tokens of a target, with its end
	Source        string `yaml:"source" kinds:"pairs"`                                         // the ending of the files, or the column, of the sources; Target is that of the targets
	Tokens        string `yaml:"tokens" kinds:"pairs"`                                         // what tokens are: words or characters
	Vocabulary    int    `yaml:"vocabulary" kinds:"pairs"`                                     // the largest number of tokens
	Encoding      string `yaml:"encoding" kinds:"text" contract:"free"`                        // of the files; what they decode to counts

	Tokenizer string `yaml:"tokenizer" kinds:"text,pairs,csv,tsv,jsonl,parquet" omit:"zero" contract:"free"` // file or folder whose tokens the text is read as; empty: characters, or bytes. The fingerprint has its digest

	ByLength bool `yaml:"by_length" kinds:"pairs" omit:"zero"` // sort the samples of a global batch by length, and compute each micro-batch at the length of its longest

	Documents string `yaml:"documents" kinds:"text" omit:"zero"` // how the text is divided into documents, which a model sees one by one; empty: it is one

	Corrupt float64 `yaml:"corrupt" kinds:"text" omit:"zero"` // share of the tokens that are hidden in spans, as T5 is pre-trained; 0: none
	Span    float64 `yaml:"span" kinds:"text" omit:"zero"`    // mean length of a span

	Mask float64 `yaml:"mask" kinds:"text" omit:"zero"` // share of the tokens that are hidden and guessed, as BERT learns; 0: each next token is guessed

	Classes       []string  `yaml:"classes" kinds:"images,image_table,webdataset"` // only these, in this order; empty: all, sorted
	TrainPerClass int       `yaml:"train_per_class" kinds:"images"`                // samples of each class to use, the first ones; 0: all
	EvalPerClass  int       `yaml:"eval_per_class" kinds:"images"`                 // likewise for evaluation
	Mean          []float64 `yaml:"mean" kinds:"images,image_table,webdataset"`    // of each channel, of pixels in [0,1]
	Std           []float64 `yaml:"std" kinds:"images,image_table,webdataset"`     // of each channel
	Crop          int       `yaml:"crop" kinds:"images,image_table,webdataset"`    // pixels of padding before a random crop; 0: none
	Flip          bool      `yaml:"flip" kinds:"images,image_table,webdataset"`    // mirror at random

	Resize     []int  `yaml:"resize" kinds:"images,image_table,webdataset" omit:"zero"`      // rows and columns that pictures are scaled to, or the length of the shorter edge; empty: all must have one size
	CenterCrop int    `yaml:"center_crop" kinds:"images,image_table,webdataset" omit:"zero"` // edge of the square that is cut out of the middle then; 0: none
	Filter     string `yaml:"filter" kinds:"images,image_table,webdataset" omit:"zero"`      // of the scaling

	Codes         string  `yaml:"codes" kinds:"glyphs,mnist,images,image_table,webdataset" omit:"zero" contract:"free"` // the run, or the safetensors file, of the autoencoder that writes pictures as codes, for a gpt that learns captions with them; empty: pictures stay pictures. The fingerprint has its codes
	Caption       string  `yaml:"caption" kinds:"glyphs,mnist,images,image_table,webdataset" omit:"zero"`               // of a picture with codes: {} is the name of its class; without {} it is the column of a table that holds captions
	CaptionWeight float64 `yaml:"caption_weight" kinds:"glyphs,mnist,images,image_table,webdataset" omit:"zero"`        // share of the caption in the loss; the codes have the rest

	Balance string         `yaml:"balance" kinds:"glyphs,mnist,images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"` // classes: each is drawn equally often; empty: each sample is
	Augment []Augmentation `yaml:"augment" kinds:"glyphs,mnist,images,image_table,webdataset" omit:"zero"`                               // how training pictures are changed at random, in this order

	Train       string   `yaml:"train" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset,pairs" contract:"free"`                       // the table's file on every worker's machine
	Eval        string   `yaml:"eval" kinds:"images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset,pairs" contract:"free"`                 // that of the rows for evaluation; empty: none
	Target      string   `yaml:"target" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset,pairs"`                                      // the column that is predicted
	Features    []string `yaml:"features" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset"`                                          // the columns that are read; empty: all others
	Texts       []string `yaml:"texts" kinds:"csv,tsv,jsonl,parquet" omit:"zero"`                                                                // the columns of texts that are read as tokens, one or a pair; instead of Features
	Inputs      []Input  `yaml:"inputs" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"`                                // the inputs that the columns make, for a model that reads several; instead of Features
	Targets     []string `yaml:"targets" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"`                               // the columns that are predicted, for a model of several outputs; instead of Target
	Weight      string   `yaml:"weight" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset"`                                            // the column that weighs a row's loss; empty: all weigh 1
	Group       string   `yaml:"group" kinds:"images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"`                          // the column that says which rows belong together; of a split by group
	Categories  []string `yaml:"categories" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset"`                                        // the columns that are categories; all others are numbers
	Split       Split    `yaml:"split" kinds:"images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"`                          // which rows are for evaluation
	Standardize Columns  `yaml:"standardize" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset" omit:"zero"`                           // inputs of numbers that are brought to mean 0 and deviation 1
	Missing     string   `yaml:"missing" kinds:"csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset"`                                           // what is done about a missing value: error, or drop the row
	Image       string   `yaml:"image" kinds:"image_table,webdataset"`                                                                           // the column of pictures, or of the paths of their files; of shards the endings of their names, between semicolons; empty: no pictures
	ImageText   string   `yaml:"image_text" kinds:"image_table" contract:"free" omit:"zero"`                                                     // what a text in that column is: the path of a file, or the picture itself in base64
	SkipBad     float64  `yaml:"skip_bad" kinds:"images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset,pairs" contract:"free" omit:"zero"` // the largest share of records that may be left out because they cannot be read
	Delimiter   string   `yaml:"delimiter" kinds:"csv" contract:"free"`
	Header      bool     `yaml:"header" kinds:"csv,tsv" contract:"free"` // the first row names the columns; else they are named 1, 2, 3...

	MemoryMiB int `yaml:"memory_mib" kinds:"shards,mnist,text,images,csv,tsv,jsonl,parquet,npy,npz,image_table,webdataset,pairs" contract:"free"` // of decoded records that each process keeps; what is beyond that is read at its place
}

// What texts in a column of pictures are.
const (
	ImagePath   = "path"
	ImageBase64 = "base64"
)

// Input is an input of the model that is made of columns of a table, side by side.
type Input struct {
	Name    string   `yaml:"name"`
	Columns []string `yaml:"columns"`
}

// Columns are names of columns. In a job file true means all, and false none.
type Columns []string

// AllColumns in Columns means every column.
const AllColumns = "*"

// Ways to split the rows of a table, or pictures.
const (
	SplitRandom     = "random"
	SplitStratified = "stratified" // each class has its share
	SplitGroup      = "group"      // rows of one group stay together
	SplitHash       = "hash"       // by what a row holds alone
)

// Split says which rows of data.train, or pictures, are for evaluation: a share of them, or one of several folds; and which are kept for a test at the end.
type Split struct {
	Eval  float64 `yaml:"eval" omit:"zero"` // share
	Test  float64 `yaml:"test" omit:"zero"` // share that is neither for training nor for evaluation; 0: none
	By    string  `yaml:"by"`
	Seed  uint64  `yaml:"seed"`
	Folds int     `yaml:"folds" omit:"zero"`
	Fold  int     `yaml:"fold" omit:"zero"` // from 0
}

// Train says how long and with what steps the model is trained.
type Train struct {
	Epochs       int          `yaml:"epochs" contract:"end"`
	Steps        int          `yaml:"steps" contract:"end"`   // steps to train instead of Epochs; 0: Epochs decide
	BatchPerSeat int          `yaml:"batch_per_seat"`         // samples that a seat computes at once: a micro-batch
	Accumulate   int          `yaml:"accumulate" omit:"one"`  // micro-batches of a seat in a step
	BucketKiB    int          `yaml:"bucket_kib" omit:"zero"` // of gradient that is reduced as one unit, at most; 0: that of plan.BucketLen
	Optimizer    Optimizer    `yaml:"optimizer"`
	Schedule     Schedule     `yaml:"schedule"`
	Loss         string       `yaml:"loss"`
	Target       string       `yaml:"target" omit:"zero"` // the field that the output is compared with; empty: the data's only target
	Losses       []OutputLoss `yaml:"losses" omit:"zero"` // of several outputs of a graph, which are added up; instead of Loss
	ClipNorm     float64      `yaml:"clip_norm"`          // bound on the global norm of the gradient; 0: none

	LabelSmoothing float64   `yaml:"label_smoothing"`           // part of the target that is spread over all classes, in training alone
	ClassWeights   []float64 `yaml:"class_weights" omit:"zero"` // of the losses against each class; empty: 1 each
	HuberDelta     float64   `yaml:"huber_delta" omit:"zero"`   // of loss huber: from where on differences count in proportion

	Precision string `yaml:"precision" omit:"float32"`              // of the operands of products, and of what the backward pass needs of the forward pass
	Recompute bool   `yaml:"recompute" omit:"zero" contract:"free"` // activations are dropped in the forward pass and computed again in the backward pass, where that takes less memory

	EarlyStop EarlyStop `yaml:"early_stop" omit:"zero" contract:"end"` // when the job ends before its time

	EMA       float64 `yaml:"ema" omit:"zero"`        // decay of a moving average of the parameters, which is evaluated and exported; 0: none
	EMAWarmup bool    `yaml:"ema_warmup" omit:"zero"` // the decay rises to it in the first steps

	GradientNoise bool `yaml:"gradient_noise" omit:"zero"` // the noise of the gradients is measured, and kept in the history

	Show string `yaml:"show" omit:"zero" contract:"free"` // the figure that is shown while the job runs, beside the training loss; empty: the first of Metrics, or the accuracy, after each epoch

	Metrics []string `yaml:"metrics" omit:"zero" contract:"free"` // told of an evaluation beside its loss
}

// Precisions.
const (
	PrecisionFloat32  = "float32"
	PrecisionBFloat16 = "bf16"
)

// EarlyStop ends a job whose evaluations have become no better for a while, or stay behind those of other jobs.
type EarlyStop struct {
	Metric   string    `yaml:"metric"`               // loss, accuracy, train_loss, or one of Train.Metrics
	Patience int       `yaml:"patience" omit:"zero"` // evaluations that may be no better, one after another; 0: any number
	MinDelta float64   `yaml:"min_delta"`            // what an evaluation must exceed the best one by to be better
	Mode     string    `yaml:"mode" omit:"zero"`
	Bars     []float64 `yaml:"bars" omit:"zero"` // the job ends after its k-th evaluation if none so far is as good as the k-th bar
}

// IsZero reports whether nothing ends the job early.
func (s *EarlyStop) IsZero() bool {
	return s.Metric == "" && s.Patience == 0 && s.MinDelta == 0 && s.Mode == "" && len(s.Bars) == 0
}

// Modes of EarlyStop: whether smaller or larger is better. Empty: as the metric is understood.
const (
	ModeMin = "min"
	ModeMax = "max"
)

// OutputLoss is the loss of one of several outputs.
type OutputLoss struct {
	Output string  `yaml:"output"` // the node
	Target string  `yaml:"target"` // the field that it is compared with
	Kind   string  `yaml:"kind"`
	Weight float64 `yaml:"weight"` // in the sum of the losses
}

// Losses.
const (
	LossCrossEntropy = "cross_entropy" // of classes, and of the tokens of text
	LossBinary       = "binary"        // of yes-or-no labels, one or several
	LossMSE          = "mse"           // of numbers: the mean squared error
	LossMAE          = "mae"           // of numbers: the mean absolute error
	LossHuber        = "huber"         // of numbers: squares near 0, absolute beyond train.huber_delta
)

// Kinds of optimizer, and the forms in which frameworks write them.
const (
	OptimizerAdam  = "adam"
	OptimizerAdamW = "adamw"
	OptimizerSGD   = "sgd"

	FormKeras   = "keras"   // Adam: epsilon outside the corrected root; SGD: the velocity contains the learning rate
	FormPyTorch = "pytorch" // Adam: epsilon added to the corrected root; SGD: the learning rate scales the velocity
)

// Optimizer turns the mean gradient of a step into an update.
type Optimizer struct {
	Kind        string  `yaml:"kind"`
	Form        string  `yaml:"form"` // default: keras for adam, pytorch for adamw and sgd
	LR          float64 `yaml:"lr"`
	Beta1       float64 `yaml:"beta1" kinds:"adam,adamw"`
	Beta2       float64 `yaml:"beta2" kinds:"adam,adamw"`
	Epsilon     float64 `yaml:"epsilon" kinds:"adam,adamw"` // default: 1e-7 in Keras' form, 1e-8 in PyTorch's
	Momentum    float64 `yaml:"momentum" kinds:"sgd"`
	Nesterov    bool    `yaml:"nesterov" kinds:"sgd"`
	WeightDecay float64 `yaml:"weight_decay"` // adamw: decoupled; others: added to the gradient

	NoDecay []string `yaml:"no_decay" omit:"zero"` // patterns: parameters that do not decay; NormsAndBiases is one too
	Groups  []Group  `yaml:"groups" omit:"zero"`   // the first that matches a parameter is its group
}

// NormsAndBiases in Optimizer.NoDecay means all parameters of one axis.
const NormsAndBiases = "norms_and_biases"

// Group is parameters with settings of their own.
type Group struct {
	Match       string  `yaml:"match"` // pattern
	LRFactor    float64 `yaml:"lr_factor"`
	WeightDecay float64 `yaml:"weight_decay"` // default: the optimizer's
}

// Kinds of learning-rate schedule.
const (
	ScheduleConstant     = "constant"
	ScheduleStep         = "step"
	ScheduleCosine       = "cosine"
	ScheduleLinear       = "linear"
	ScheduleWarmRestarts = "warm_restarts" // cosine decays, one after another
	ScheduleOneCycle     = "one_cycle"     // up to the rate and down to nearly nothing
)

// Schedule is the learning rate as a function of the step. Every kind but one_cycle may begin with a linear warm-up.
type Schedule struct {
	Kind     string  `yaml:"kind"`
	Warmup   int     `yaml:"warmup"`                                     // steps until the full rate
	StepSize int     `yaml:"step_size" kinds:"step"`                     // steps between two multiplications by Gamma
	Gamma    float64 `yaml:"gamma" kinds:"step"`                         //
	MinLR    float64 `yaml:"min_lr" kinds:"cosine,linear,warm_restarts"` // the rate at the horizon and after it; at the end of each period
	T0       int     `yaml:"t_0" kinds:"warm_restarts"`                  // steps of the first period
	TMult    int     `yaml:"t_mult" kinds:"warm_restarts"`               // each period is this many times as long as the one before

	PctStart       float64 `yaml:"pct_start" kinds:"one_cycle"`        // share of the steps in which the rate rises
	DivFactor      float64 `yaml:"div_factor" kinds:"one_cycle"`       // the first rate is the optimizer's divided by it
	FinalDivFactor float64 `yaml:"final_div_factor" kinds:"one_cycle"` // the last rate is the first divided by it
	CycleMomentum  bool    `yaml:"cycle_momentum" kinds:"one_cycle"`   // momentum, or beta1, falls while the rate rises
	BaseMomentum   float64 `yaml:"base_momentum" kinds:"one_cycle"`
	MaxMomentum    float64 `yaml:"max_momentum" kinds:"one_cycle"`

	Horizon int `yaml:"horizon"` // the step at which the schedule ends; 0: not yet resolved, see Resolve
}

// Checkpoint says when the state is saved. A checkpoint at the end is always written.
type Checkpoint struct {
	EverySteps int `yaml:"every_steps"` // 0: at the end (and when interrupted) only
	KeepLast   int `yaml:"keep_last"`   // older ones are retired

	KeepBest string `yaml:"keep_best" omit:"zero"` // the metric whose best evaluation's checkpoint is kept too; empty: none
	CopyTo   string `yaml:"copy_to" omit:"zero"`   // s3://BUCKET/PREFIX that gets a copy of each; empty: none
}

// PerSeat is the number of samples that a seat computes in a full step, in all its micro-batches.
func (t *Train) PerSeat() int { return t.BatchPerSeat * t.MicroBatches() }

// MicroBatches is how many micro-batches a seat computes in a step, one after another.
func (t *Train) MicroBatches() int { return max(t.Accumulate, 1) }

// BucketLen is how many parameters a bucket has at most.
func (t *Train) BucketLen() int {
	if t.BucketKiB == 0 {
		return plan.BucketLen
	}
	return t.BucketKiB << 10 / 4
}

// Batch is the number of samples in a full global batch.
func (j *Job) Batch() int { return j.Seats * j.Train.PerSeat() }

// TotalSteps is the step at which the job ends when the training set has samples samples.
func (j *Job) TotalSteps(samples int) int {
	if j.Train.Steps > 0 {
		return j.Train.Steps
	}
	return j.Train.Epochs * plan.StepsPerEpoch(samples, j.Seats, j.Train.PerSeat())
}

// Resolve fixes what follows from the number of training samples: the schedule's horizon, unless it is known already
// (written in the file, or inherited from the checkpoint that the job goes on from), is the end of the job as it is now.
func (j *Job) Resolve(samples int) {
	if j.Train.Schedule.Horizon == 0 {
		j.Train.Schedule.Horizon = j.TotalSteps(samples)
	}
}
