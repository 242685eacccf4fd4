package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// Bounds that keep a typing error from becoming an allocation.
const (
	MaxSeats    = 1024
	maxSteps    = 1 << 40
	maxEpochs   = 1 << 20
	maxBars     = 1 << 12
	maxBatch    = 1 << 16
	maxLayers   = 1 << 10
	maxFeatures = 1 << 24
	maxParams   = 1 << 31
	maxNesting  = 16
)

// validate checks values; types and names of keys were checked while binding. A key whose value could not be read has
// been reported already, so it is not checked again.
func (j *Job) validate(b *binder) {
	c := &checker{b}
	c.require("name", validName(j.Name), "name %s must be 1 to 64 letters, digits, '-', '_' or '.', and not begin with '.' or '-'", printable.Typed(j.Name))
	between(c, "seats", j.Seats, 1, MaxSeats)
	j.Model.validate(c)
	j.Data.validate(c)
	j.Train.validate(c)
	c.require("train.gradient_noise", !j.Train.GradientNoise || j.Seats != 1, "train.gradient_noise compares the gradients of seats, so it takes at least 2: raise seats, or leave it out")
	between(c, "checkpoint.every_steps", j.Checkpoint.EverySteps, 0, maxSteps)
	between(c, "checkpoint.keep_last", j.Checkpoint.KeepLast, 1, 1<<20)
	between(c, "min_workers", j.MinWorkers, 1, MaxSeats)
	between(c, "max_workers", j.MaxWorkers, 0, MaxSeats)
	j.validateStop(c)
	j.validateTogether(c)
}

// validateTogether checks keys against each other.
func (j *Job) validateTogether(c *checker) {
	text, language := j.Data.Kind == DataText || j.Data.Codes != "", j.Model.Kind == ModelBERT || j.Model.predictsNext()
	known := slices.Contains(modelKinds, j.Model.Kind) && slices.Contains(dataKinds, j.Data.Kind) && j.Data.Kind != DataShards && !c.b.isSpoilt("data.kind")
	either := slices.Contains([]string{ModelSequential, ModelGraph, ModelT5}, j.Model.Kind) // what they read shows when the data is open
	texts := len(j.Data.Texts) > 0
	c.require("data.texts", !texts || j.Model.Kind == ModelBERT, "data.texts are read by a model.kind: bert, which classifies them, not by %s", j.Model.Kind)
	c.require("model.kind", !known || either || texts || text == language, "model.kind: %s does not learn from data.kind: %s; a gpt, a llama or a bert needs text, %s and %s images",
		j.Model.Kind, j.Data.Kind, ModelMLP, ModelMobileNetV2)
	c.require("data.mask", !j.Model.predictsNext() || j.Data.Mask == 0, "data.mask hides tokens, but a %s guesses each next one: leave it out, or take model.kind: bert", j.Model.Kind)
	c.require("model.kind", j.Model.Kind != ModelBERT || j.Data.Codes == "", "model.kind: a bert guesses hidden tokens, and data.codes makes tokens that are written one after another: take model.kind: gpt")
	c.require("data.mask", j.Model.Kind != ModelBERT || j.Data.Kind != DataText || j.Data.Mask > 0, "data.mask is missing: a bert guesses tokens that are hidden from it; 0.15 of them is usual")
	c.require("data.documents", j.Data.Documents == "" || j.Model.predictsNext(), "data.documents are kept apart by a model.kind: gpt or llama, not by %s: leave it out", j.Model.Kind)
	c.require("data.corrupt", j.Model.Kind == ModelT5 || j.Data.Corrupt == 0, "data.corrupt hides spans that a t5 is to write: leave it out, or take model.kind: t5")
	c.require("data.corrupt", j.Model.Kind != ModelT5 || j.Data.Kind != DataText || j.Data.Corrupt > 0, "data.corrupt is missing: a t5 learns from text by spans that are hidden from it; 0.15 of the tokens is usual")
	c.require("min_workers", j.Seats < 1 || j.MinWorkers <= j.Seats, "min_workers %d is more than the job's seats: %d; that many workers can never take part", j.MinWorkers, j.Seats)
	c.require("max_workers", j.Seats < 1 || j.MaxWorkers <= j.Seats, "max_workers %d is more than the job's seats: %d; that many workers can never take part", j.MaxWorkers, j.Seats)
	c.require("max_workers", j.MaxWorkers == 0 || j.MaxWorkers >= j.MinWorkers, "max_workers %d is fewer than min_workers: %d", j.MaxWorkers, j.MinWorkers)
	c.require("train.batch_per_seat", j.Train.BatchPerSeat != 1 || !j.Data.Mixes(), "train.batch_per_seat: mixup and cutmix mix the samples of a micro-batch, so it needs two or more")
	nesterov := j.Train.Optimizer.Nesterov && j.Train.Optimizer.Momentum == 0 && !c.b.isSpoilt("train.optimizer.momentum")
	still := j.Train.Schedule.CycleMomentum && j.Train.Optimizer.Kind == OptimizerSGD && j.Train.Optimizer.Momentum == 0 && !c.b.isSpoilt("train.optimizer.momentum")
	c.require("train.losses", len(j.Train.Losses) == 0 || j.Model.Kind == ModelGraph, "train.losses are of the outputs of a model.kind: graph; a %s has one output: set train.loss", j.Model.Kind)
	c.require("train.schedule.cycle_momentum", !still, "train.schedule.cycle_momentum needs a train.optimizer.momentum above 0")
	c.require("train.optimizer.nesterov", !nesterov, "train.optimizer.nesterov needs a train.optimizer.momentum above 0")
}

// checker collects problems with values.
type checker struct{ b *binder }

// require records a problem with the key unless ok, or unless its value could not be read, which has been reported.
func (c *checker) require(key string, ok bool, format string, args ...any) {
	if !ok && !c.b.isSpoilt(key) {
		c.b.problem(c.b.origin.where(key), format, args...)
	}
}

// present requires a key that has no default, and reports whether its value is worth a check. do says what to do.
func (c *checker) present(key, do string) bool {
	written := c.b.origin.written(key)
	c.require(key, written, "%s is missing: %s", key, do)
	return written
}

func between[T int | float64](c *checker, key string, v, low, high T) {
	c.require(key, v >= low && v <= high, "%s must be from %v to %v, not %v", key, low, high, v)
}

// below requires low <= v < high, as float32 too: what rounds to the limit would be the limit where it is computed with.
func below(c *checker, key string, v, low, high float64) {
	c.require(key, v >= low && float32(v) < float32(high), "%s must be at least %v and below %v, not %v", key, low, high, v)
}

// positive requires 0 < v <= high. The bound keeps a float32 computation with the value finite.
func positive(c *checker, key string, v, high float64) {
	c.require(key, v > 0 && v <= high, "%s must be above 0 and at most %v, not %v", key, high, v)
}

// epsilon requires what a float32 still holds as more than nothing.
func epsilon(c *checker, key string, v float64) {
	c.require(key, v >= 1e-30 && v <= 1, "%s must be from 1e-30 to 1, not %v", key, v)
}

// oneOf requires a known word, and reports whether what depends on it is worth a check.
func (c *checker) oneOf(key, value string, known []string) bool {
	ok := slices.Contains(known, value)
	c.require(key, ok, "%s: %s is not known%s", key, printable.Typed(value), suggestion(value, known))
	return ok && !c.b.isSpoilt(key)
}

// maxName is the length of the longest name of a job or process.
const maxName = 64

func validName(s string) bool {
	if len(s) < 1 || len(s) > maxName || s[0] == '.' || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

func indexed(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

var (
	modelKinds = []string{ModelMLP, ModelGPT, ModelLLaMA, ModelBERT, ModelT5, ModelMobileNetV2, ModelSequential, ModelGraph}
	dataKinds  = append([]string{DataGlyphs, DataMNIST, DataText, DataImages, DataImageTable, DataWebDataset, DataShards, DataPairs}, tableKinds...)
	tableKinds = []string{DataCSV, DataTSV, DataJSONL, DataParquet, DataNPY, DataNPZ}

	optimizerKinds = []string{OptimizerAdam, OptimizerAdamW, OptimizerSGD}
	scheduleKinds  = []string{ScheduleConstant, ScheduleStep, ScheduleCosine, ScheduleLinear, ScheduleWarmRestarts, ScheduleOneCycle}

	knownKinds = map[reflect.Type][]string{
		reflect.TypeFor[Model]():        modelKinds,
		reflect.TypeFor[Layer]():        LayerKinds,
		reflect.TypeFor[Data]():         dataKinds,
		reflect.TypeFor[Augmentation](): augmentKinds,
		reflect.TypeFor[Optimizer]():    optimizerKinds,
		reflect.TypeFor[Schedule]():     scheduleKinds,
	}
)

func (m *Model) validate(c *checker) {
	m.validateInit(c)
	c.patterns("model.freeze", m.Freeze)
	m.LoRA.validate(c)
	if !c.oneOf("model.kind", m.Kind, modelKinds) {
		return
	}
	switch m.Kind {
	case ModelMLP:
		m.validateMLP(c)
	case ModelGPT, ModelLLaMA, ModelBERT, ModelT5:
		m.validateTransformer(c)
	case ModelMobileNetV2:
		c.oneOf("model.variant", m.Variant, []string{"imagenet", "cifar"})
		c.oneOf("model.form", m.Form, []string{FormTorchvision, FormKeras})
		below(c, "model.dropout", m.Dropout, 0, 1)
	case ModelSequential:
		c.require("model.stack", len(m.Stack) > 0, "model.stack lists no layers; a sequential model needs at least one")
		validateStack(c, "model.stack", m.Stack, 0)
	case ModelGraph:
		m.validateGraph(c)
	}
}

func (m *Model) validateTransformer(c *checker) {
	between(c, "model.depth", m.Depth, 1, maxLayers)
	between(c, "model.heads", m.Heads, 1, 1<<10)
	between(c, "model.width", m.Width, 1, 1<<16)
	between(c, "model.hidden", m.Hidden, 0, 1<<20)
	between(c, "model.positions", m.Positions, 0, 1<<20)
	between(c, "model.head_width", m.HeadWidth, 0, 1<<16)
	between(c, "model.vocabulary", m.Vocabulary, 0, maxFeatures)
	if m.Kind == ModelGPT || m.Kind == ModelBERT {
		c.oneOf("model.activation", m.Activation, []string{ActivationGELU, ActivationGELUNew})
	}
	c.require("model.width", m.Heads < 1 || m.HeadWidth > 0 || m.Width%m.Heads == 0, "model.width %d cannot be divided among model.heads %d; take a multiple", m.Width, m.Heads)
	below(c, "model.dropout", m.Dropout, 0, 1)
	if m.Kind == ModelLLaMA {
		m.validateLLaMA(c)
	}
	if m.Kind == ModelT5 {
		between(c, "model.buckets", m.Buckets, 4, 1<<16)
		c.require("model.buckets", m.Buckets%4 == 0, "model.buckets must be a multiple of 4, not %d", m.Buckets)
		between(c, "model.distance", m.Distance, m.Buckets/2+1, 1<<20)
	}
}

// predictsNext reports whether the family guesses each next token of a text.
func (m *Model) predictsNext() bool { return m.Kind == ModelGPT || m.Kind == ModelLLaMA }

func (m *Model) validateLLaMA(c *checker) {
	between(c, "model.kv_heads", m.KVHeads, 0, 1<<10)
	c.require("model.kv_heads", m.KVHeads < 1 || m.Heads%m.KVHeads == 0, "model.kv_heads %d does not divide model.heads %d, among which it shares keys and values; take a divisor", m.KVHeads, m.Heads)
	c.require("model.head_width", m.HeadWidth%2 == 0, "model.head_width must be even, since rotary positions turn pairs of columns, not %d", m.HeadWidth)
	odd := m.HeadWidth == 0 && m.Heads > 0 && m.Width%m.Heads == 0 && m.Width/m.Heads%2 != 0
	c.require("model.width", !odd, "model.width %d gives each of model.heads %d an odd width, and rotary positions turn pairs of columns; take another, or set model.head_width", m.Width, m.Heads)
	between(c, "model.rope_theta", m.RopeTheta, 1, 1e12)
	epsilon(c, "model.epsilon", m.Epsilon)
}

func (m *Model) validateMLP(c *checker) {
	if len(m.Layers) < 2 || len(m.Layers) > maxLayers {
		c.require("model.layers", false, "model.layers must list 2 to %d widths, from the input to the classes, not %d", maxLayers, len(m.Layers))
		return
	}
	total := 0
	for i, width := range m.Layers {
		between(c, indexed("model.layers", i), width, 1, maxFeatures)
		if i > 0 && width > 0 && width <= maxFeatures && total < maxParams {
			total += width * (min(max(m.Layers[i-1], 0), maxFeatures) + 1)
		}
	}
	c.require("model.layers", total < maxParams, "model.layers make more than %d parameters", maxParams)
}

func (d *Data) validate(c *checker) {
	if !c.oneOf("data.kind", d.Kind, dataKinds) {
		return
	}
	between(c, "data.cache_mib", d.CacheMiB, 0, 1<<30)
	c.require("data.path", d.Path != "" || d.Kind != DataShards, "data.path is missing: say where the packed set is, a folder or a URL (in the file, or by --set data.path=DIR)")
	if d.IsTable() || d.HasPictures() {
		d.validateTable(c)
	} else if d.Kind != DataGlyphs && d.Kind != DataPairs && d.Path == "" && d.Kind != DataShards {
		c.require("data.dir", d.Dir != "", "data.dir is missing: say where the %s data is (in the file, or by --set data.dir=DIR)", d.Kind)
	}
	if d.Balance != "" {
		c.oneOf("data.balance", d.Balance, []string{BalanceClasses})
	}
	d.validateAugment(c)
	d.validateCodes(c)
	switch d.Kind {
	case DataText:
		between(c, "data.context", d.Context, 1, 1<<16)
		between(c, "data.memory_mib", d.MemoryMiB, 0, 1<<20)
		between(c, "data.left_out", d.LeftOut, 0, 1)
		below(c, "data.mask", d.Mask, 0, 1)
		between(c, "data.corrupt", d.Corrupt, 0, 0.5)
		c.require("data.span", d.Corrupt > 0 || d.Span == 0, "data.span is the length of spans that data.corrupt hides: set that, too")
		if d.Corrupt > 0 {
			between(c, "data.span", d.Span, 1, float64(1<<10))
			c.require("data.corrupt", d.Mask == 0, "data.corrupt and data.mask do not go together: leave one of them out")
			c.require("data.corrupt", d.Tokenizer != "" || d.Path != "", "data.corrupt hides spans of a tokenizer's tokens: name one by data.tokenizer")
		}
		c.require("data.tokenizer", d.Tokenizer == "" || d.Encoding != EncodingBytes, "data.tokenizer makes tokens of text, and data.encoding: bytes makes one of every byte: leave one of them out")
		c.require("data.documents", d.Documents == "" || d.Path == "", "data.documents and data.path do not go together: a packed text has no documents")
		c.oneOf("data.encoding", d.Encoding, []string{EncodingUTF8, EncodingLatin1, EncodingBytes})
	case DataImages:
		d.validateImages(c)
	case DataPairs:
		d.validatePairs(c)
	case DataMNIST, DataShards:
		between(c, "data.memory_mib", d.MemoryMiB, 0, 1<<20)
	}
}

func (d *Data) validateImages(c *checker) {
	between(c, "data.left_out", d.LeftOut, 0, 1)
	between(c, "data.train_per_class", d.TrainPerClass, 0, 1<<30)
	between(c, "data.eval_per_class", d.EvalPerClass, 0, 1<<30)
	between(c, "data.memory_mib", d.MemoryMiB, 0, 1<<20)
	below(c, "data.skip_bad", d.SkipBad, 0, 1)
	d.validateColours(c)
	if d.Eval != "" {
		c.oneOf("data.eval", d.Eval, EvalFolders)
	}
	if d.Split != (Split{}) {
		d.validateSplit(c)
	} else {
		c.require("data.group", d.Group == "", "data.group is for data.split.by: group; say how to split, or leave it out")
	}
	if _, err := regexp.Compile(d.Group); err != nil {
		c.require("data.group", false, "data.group is no regular expression (%v): it finds the group in a picture's path", err)
	}
}

// EvalFolders are what the folder of the pictures for evaluation may be called. Of several the first is used, unless the job says otherwise.
var EvalFolders = []string{"test", "testing", "val", "validation", "valid"}

// validateColours checks what becomes of pixels, and the classes.
func (d *Data) validateColours(c *checker) {
	between(c, "data.crop", d.Crop, 0, 1<<10)
	seen := map[string]bool{}
	for i, class := range d.Classes {
		key := indexed("data.classes", i)
		c.require(key, class != "" && (d.Kind != DataImages || !strings.ContainsAny(class, "/\\") && class[0] != '.'), "%s: %s cannot be a class; write the name of its folder, or of the class", key, printable.Typed(class))
		c.require(key, !seen[class], "%s: class %s is listed twice", key, printable.Typed(class))
		seen[class] = true
	}
	c.require("data.classes", len(d.Classes) != 1, "data.classes lists one class; a classifier needs two or more")
	c.require("data.mean", len(d.Mean) == 3, "data.mean must list 3 values (red, green, blue), not %d", len(d.Mean))
	c.require("data.std", len(d.Std) == 3, "data.std must list 3 values (red, green, blue), not %d", len(d.Std))
	for i, v := range d.Mean {
		between(c, indexed("data.mean", i), v, -10, 10)
	}
	d.validateResize(c)
	for i, v := range d.Std {
		c.require(indexed("data.std", i), v >= 1e-3 && v <= 1e3, "data.std[%d] must be from 0.001 to 1000, not %v", i, v)
	}
}

// validateResize checks how pictures are brought to one size.
func (d *Data) validateResize(c *checker) {
	if len(d.Resize) == 0 {
		c.require("data.center_crop", d.CenterCrop == 0, "data.center_crop cuts what data.resize has scaled; give data.resize too, like [256]")
		c.require("data.filter", d.Filter == "", "data.filter is that of data.resize, which is not given; leave it out")
		return
	}
	c.oneOf("data.filter", d.Filter, []string{FilterBilinear, FilterNearest})
	if len(d.Resize) > 2 {
		c.require("data.resize", false, "data.resize must list rows and columns, or the shorter edge alone, not %d values", len(d.Resize))
		return
	}
	for i, edge := range d.Resize {
		between(c, indexed("data.resize", i), edge, 1, maxEdge)
	}
	between(c, "data.center_crop", d.CenterCrop, 0, maxEdge)
	c.require("data.center_crop", d.CenterCrop <= slices.Min(d.Resize), "data.center_crop %d does not fit into data.resize %v", d.CenterCrop, d.Resize)
	c.require("data.resize", len(d.Resize) == 2 || d.CenterCrop > 0,
		"data.resize [%d] alone scales the shorter edge, and leaves pictures of several shapes: add data.center_crop, or give rows and columns", d.Resize[0])
}

// maxEdge bounds the sides of scaled pictures.
const maxEdge = 1 << 12

// Bounds on a bucket: a hop with less is all latency, and one with more leaves nothing to overlap.
const (
	leastBucketKiB = 16
	mostBucketKiB  = 1 << 20
)

func (t *Train) validate(c *checker) {
	c.oneOf("train.precision", t.Precision, []string{PrecisionFloat32, PrecisionBFloat16})
	between(c, "train.epochs", t.Epochs, 1, maxEpochs)
	between(c, "train.steps", t.Steps, 0, maxSteps)
	between(c, "train.batch_per_seat", t.BatchPerSeat, 1, maxBatch)
	between(c, "train.accumulate", t.Accumulate, 1, maxBatch)
	c.require("train.bucket_kib", t.BucketKiB == 0 || t.BucketKiB >= leastBucketKiB && t.BucketKiB <= mostBucketKiB,
		"train.bucket_kib must be from %d to %d, or 0 for the default, not %d", leastBucketKiB, mostBucketKiB, t.BucketKiB)
	between(c, "train.clip_norm", t.ClipNorm, 0, math.MaxFloat32)
	below(c, "train.ema", t.EMA, 0, 1)
	c.require("train.ema_warmup", !t.EMAWarmup || t.EMA > 0 || c.b.isSpoilt("train.ema"), "train.ema_warmup goes with train.ema, the decay of the average of the weights, like train.ema: 0.999")
	below(c, "train.label_smoothing", t.LabelSmoothing, 0, 1)
	t.validateLoss(c)
	c.require("train.metrics", len(t.Metrics) <= maxMetrics, "train.metrics lists %d metrics, more than the %d that there may be", len(t.Metrics), maxMetrics)
	t.Optimizer.validate(c)
	t.Schedule.validate(c)
}

// maxMetrics bounds what the log keeps of each epoch.
const maxMetrics = 32

// has reports whether the job has a loss of the kind.
func (t *Train) has(kind string) bool {
	if len(t.Losses) == 0 {
		return t.Loss == kind
	}
	return slices.ContainsFunc(t.Losses, func(l OutputLoss) bool { return l.Kind == kind })
}

// validateLosses checks the losses of several outputs.
func (t *Train) validateLosses(c *checker) {
	c.require("train.losses", len(t.Losses) <= maxInputs, "train.losses lists %d losses, more than the %d that there may be", len(t.Losses), maxInputs)
	alone := map[string]bool{"train.loss": t.Loss == t.Losses[0].Kind, "train.target": t.Target == "", "train.class_weights": len(t.ClassWeights) == 0}
	for _, key := range slices.Sorted(maps.Keys(alone)) {
		c.require(key, alone[key], "%s: train.losses say what is compared; leave it out", key)
	}
	for i, l := range t.Losses {
		at := indexed("train.losses", i)
		c.present(at+".output", "name the node whose value is compared")
		c.present(at+".target", "name the target that it is compared with")
		c.oneOf(at+".kind", l.Kind, lossKinds)
		positive(c, at+".weight", l.Weight, 1e6)
	}
}

var lossKinds = []string{LossCrossEntropy, LossBinary, LossMSE, LossMAE, LossHuber}

func (t *Train) validateLoss(c *checker) {
	if len(t.Losses) > 0 {
		t.validateLosses(c)
	} else if !c.oneOf("train.loss", t.Loss, lossKinds) {
		return
	}
	classes := t.has(LossCrossEntropy)
	c.require("train.label_smoothing", t.LabelSmoothing == 0 || classes, "train.label_smoothing spreads a class over the others, which train.loss: %s has not; leave it out", t.Loss)
	c.require("train.class_weights", len(t.ClassWeights) == 0 || classes, "train.class_weights weigh classes, which train.loss: %s has not; leave them out", t.Loss)
	total := 0.0
	for i, w := range t.ClassWeights {
		between(c, indexed("train.class_weights", i), w, 0, 1e6)
		total += w
	}
	c.require("train.class_weights", len(t.ClassWeights) == 0 || total != 0, "train.class_weights are all 0, so that nothing would be learnt")
	if !t.has(LossHuber) {
		c.require("train.huber_delta", t.HuberDelta == 0, "train.huber_delta belongs to train.loss: huber, not to %s; leave it out", t.Loss)
		return
	}
	positive(c, "train.huber_delta", t.HuberDelta, 1e6)
}

func (p *Optimizer) validate(c *checker) {
	if !c.oneOf("train.optimizer.kind", p.Kind, optimizerKinds) {
		return
	}
	c.oneOf("train.optimizer.form", p.Form, []string{FormKeras, FormPyTorch})
	positive(c, "train.optimizer.lr", p.LR, 1e6)
	between(c, "train.optimizer.weight_decay", p.WeightDecay, 0, 1e6)
	c.patterns("train.optimizer.no_decay", p.NoDecay)
	p.validateGroups(c)
	if p.Kind == OptimizerSGD {
		below(c, "train.optimizer.momentum", p.Momentum, 0, 1)
		return
	}
	below(c, "train.optimizer.beta1", p.Beta1, 0, 1)
	below(c, "train.optimizer.beta2", p.Beta2, 0, 1)
	epsilon(c, "train.optimizer.epsilon", p.Epsilon)
}

func (s *Schedule) validate(c *checker) {
	if !c.oneOf("train.schedule.kind", s.Kind, scheduleKinds) {
		return
	}
	between(c, "train.schedule.warmup", s.Warmup, 0, maxSteps)
	between(c, "train.schedule.horizon", s.Horizon, 0, maxSteps)
	switch s.Kind {
	case ScheduleStep:
		between(c, "train.schedule.step_size", s.StepSize, 1, maxSteps)
		positive(c, "train.schedule.gamma", s.Gamma, 1e6)
	case ScheduleCosine, ScheduleLinear:
		between(c, "train.schedule.min_lr", s.MinLR, 0, 1e6)
		c.require("train.schedule.warmup", s.Horizon < 1 || s.Warmup < s.Horizon, "train.schedule.warmup %d must end before train.schedule.horizon %d", s.Warmup, s.Horizon)
	case ScheduleWarmRestarts:
		between(c, "train.schedule.min_lr", s.MinLR, 0, 1e6)
		if c.present("train.schedule.t_0", "say how many steps the first period has") {
			between(c, "train.schedule.t_0", s.T0, 1, maxSteps)
		}
		between(c, "train.schedule.t_mult", s.TMult, 1, 1000)
	case ScheduleOneCycle:
		s.validateOneCycle(c)
	}
}

func (s *Schedule) validateOneCycle(c *checker) {
	c.require("train.schedule.warmup", s.Warmup == 0, "train.schedule.warmup does not exist for train.schedule.kind: one_cycle, which begins with a rise of its own (pct_start); leave it out")
	between(c, "train.schedule.pct_start", s.PctStart, 0, 1)
	between(c, "train.schedule.div_factor", s.DivFactor, 1, 1e9)
	between(c, "train.schedule.final_div_factor", s.FinalDivFactor, 1, 1e9)
	below(c, "train.schedule.base_momentum", s.BaseMomentum, 0, 1)
	below(c, "train.schedule.max_momentum", s.MaxMomentum, 0, 1)
}

// validateStop checks when the job ends early, and which checkpoint is the best.
func (j *Job) validateStop(c *checker) {
	if s := &j.Train.EarlyStop; !s.IsZero() {
		c.told("train.early_stop.metric", s.Metric, &j.Train)
		if len(s.Bars) == 0 && c.present("train.early_stop.patience", "say after how many evaluations that are no better the job ends") || s.Patience != 0 {
			between(c, "train.early_stop.patience", s.Patience, 1, maxEpochs)
		}
		c.require("train.early_stop.bars", len(s.Bars) <= maxBars, "train.early_stop.bars has %d bars, at most %d are kept", len(s.Bars), maxBars)
		for i, bar := range s.Bars {
			c.require(fmt.Sprintf("train.early_stop.bars[%d]", i), !math.IsNaN(bar) && !math.IsInf(bar, 0), "train.early_stop.bars: %v is no finite number", bar)
		}
		between(c, "train.early_stop.min_delta", s.MinDelta, 0, math.MaxFloat32)
		if s.Mode != "" {
			c.oneOf("train.early_stop.mode", s.Mode, []string{ModeMin, ModeMax})
		}
	}
	if name := j.Train.Show; name != "" {
		c.told("train.show", name, &j.Train)
	}
	if to := j.Checkpoint.CopyTo; to != "" {
		c.require("checkpoint.copy_to", strings.HasPrefix(to, "s3://") && len(to) > len("s3://"), "checkpoint.copy_to %q is no place in an object store; write s3://BUCKET/PREFIX", to)
	}
	if name := j.Checkpoint.KeepBest; name != "" {
		c.told("checkpoint.keep_best", name, &j.Train)
	}
}

// told requires a figure that evaluations tell.
func (c *checker) told(key, name string, t *Train) {
	ok := name == "loss" || name == "train_loss" || name == "accuracy" && t.Loss == LossCrossEntropy || slices.Contains(t.Metrics, name)
	c.require(key, ok || c.b.isSpoilt("train.metrics") || c.b.isSpoilt("train.loss"), "%s: evaluations do not tell %s; take loss or train_loss, or add it to train.metrics", key, printable.Typed(name))
}
