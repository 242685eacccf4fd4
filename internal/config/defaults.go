package config

import (
	"path/filepath"
	"strings"
)

// setDefaults fills in every key that was not written. Defaults that depend on a kind follow the kind that was written.
func (j *Job) setDefaults() {
	o := j.origin
	def(o, "name", &j.Name, nameFromFile(o.file))
	def(o, "seed", &j.Seed, 1)
	def(o, "seats", &j.Seats, 4)
	def(o, "model.kind", &j.Model.Kind, ModelMLP)
	def(o, "data.kind", &j.Data.Kind, DataGlyphs)
	j.Model.setDefaults(o)
	j.Data.setDefaults(o)
	j.Train.setDefaults(o)
	for _, l := range j.Train.Losses {
		j.Model.outputs = append(j.Model.outputs, l.Output)
	}
	def(o, "checkpoint.every_steps", &j.Checkpoint.EverySteps, 500)
	def(o, "checkpoint.keep_last", &j.Checkpoint.KeepLast, 3)
	def(o, "min_workers", &j.MinWorkers, 1)
	def(o, "balance", &j.Balance, true)
}

// def sets a field to its default unless its key was written.
func def[T any](o *origin, key string, field *T, value T) {
	if !o.written(key) {
		*field = value
	}
}

// nameFromFile names a job after its file: configs/mnist-mlp.yaml is mnist-mlp.
func nameFromFile(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if !validName(name) {
		return "job"
	}
	return name
}

func (m *Model) setDefaults(o *origin) {
	def(o, "model.layers", &m.Layers, []int{784, 128, 128, 10})
	def(o, "model.depth", &m.Depth, 4)
	def(o, "model.heads", &m.Heads, 4)
	def(o, "model.width", &m.Width, 128)
	def(o, "model.activation", &m.Activation, ActivationGELU)
	def(o, "model.tied", &m.Tied, true)
	def(o, "model.rope_theta", &m.RopeTheta, 10000)
	def(o, "model.epsilon", &m.Epsilon, 1e-6)
	def(o, "model.buckets", &m.Buckets, 32)
	def(o, "model.distance", &m.Distance, 128)
	def(o, "model.variant", &m.Variant, "imagenet")
	def(o, "model.init_strict", &m.InitStrict, true)
	if o.written("model.lora") {
		def(o, "model.lora.alpha", &m.LoRA.Alpha, float64(m.LoRA.Rank))
	}
	if m.Kind == ModelMobileNetV2 {
		def(o, "model.form", &m.Form, FormTorchvision)
		if m.Form == FormTorchvision {
			def(o, "model.dropout", &m.Dropout, 0.2)
		}
	}
	setLayerDefaults(o, "model.stack", m.Stack)
	m.setGraphDefaults(o)
}

func (d *Data) setDefaults(o *origin) {
	def(o, "data.left_out", &d.LeftOut, 0.1)
	if !d.IsTable() || len(d.Texts) > 0 {
		def(o, "data.context", &d.Context, 64)
	}
	def(o, "data.target_context", &d.TargetContext, d.Context)
	if d.Corrupt != 0 {
		def(o, "data.span", &d.Span, 3)
	}
	def(o, "data.tokens", &d.Tokens, TokensWords)
	def(o, "data.vocabulary", &d.Vocabulary, 32000)
	def(o, "data.encoding", &d.Encoding, EncodingUTF8)
	def(o, "data.missing", &d.Missing, MissingError)
	def(o, "data.delimiter", &d.Delimiter, ",")
	def(o, "data.header", &d.Header, true)
	def(o, "data.memory_mib", &d.MemoryMiB, 1024)
	if d.Split != (Split{}) {
		def(o, "data.split.by", &d.Split.By, SplitRandom)
		def(o, "data.split.seed", &d.Split.Seed, 1)
	}
	d.setAugmentDefaults(o)
	if d.Codes != "" {
		def(o, "data.caption", &d.Caption, "a {}")
		def(o, "data.caption_weight", &d.CaptionWeight, 0.125)
	}
	def(o, "data.image", &d.Image, "image")
	if d.Kind == DataWebDataset {
		def(o, "data.image", &d.Image, "jpg;jpeg;png;webp;gif;bmp;tif;tiff")
		if d.CaptionColumn() == "" {
			def(o, "data.target", &d.Target, "cls")
		}
		if d.Target == "cls" { // the number of a class, as webdataset means it
			def(o, "data.categories", &d.Categories, []string{"cls"})
		}
	}
	if d.Kind == DataImages || d.HasPictures() {
		def(o, "data.mean", &d.Mean, []float64{0.5, 0.5, 0.5})
		def(o, "data.std", &d.Std, []float64{0.25, 0.25, 0.25})
		if len(d.Resize) > 0 {
			def(o, "data.filter", &d.Filter, FilterBilinear)
		}
	}
}

func (t *Train) setDefaults(o *origin) {
	def(o, "train.epochs", &t.Epochs, 5)
	def(o, "train.batch_per_seat", &t.BatchPerSeat, 8)
	def(o, "train.accumulate", &t.Accumulate, 1)
	def(o, "train.precision", &t.Precision, PrecisionFloat32)
	for i := range t.Losses {
		at := indexed("train.losses", i)
		def(o, at+".kind", &t.Losses[i].Kind, LossCrossEntropy)
		def(o, at+".weight", &t.Losses[i].Weight, 1)
	}
	first := LossCrossEntropy
	if len(t.Losses) > 0 {
		first = t.Losses[0].Kind
	}
	def(o, "train.loss", &t.Loss, first)
	if t.has(LossHuber) {
		def(o, "train.huber_delta", &t.HuberDelta, 1)
	}
	if !t.EarlyStop.IsZero() {
		def(o, "train.early_stop.metric", &t.EarlyStop.Metric, "loss")
	}
	def(o, "train.optimizer.kind", &t.Optimizer.Kind, OptimizerAdam)
	def(o, "train.schedule.kind", &t.Schedule.Kind, ScheduleConstant)
	t.Optimizer.setDefaults(o)
	def(o, "train.schedule.gamma", &t.Schedule.Gamma, 0.1)
	def(o, "train.schedule.step_size", &t.Schedule.StepSize, 1000)
	def(o, "train.schedule.t_mult", &t.Schedule.TMult, 1)
	def(o, "train.schedule.pct_start", &t.Schedule.PctStart, 0.3)
	def(o, "train.schedule.div_factor", &t.Schedule.DivFactor, 25)
	def(o, "train.schedule.final_div_factor", &t.Schedule.FinalDivFactor, 1e4)
	def(o, "train.schedule.cycle_momentum", &t.Schedule.CycleMomentum, t.Optimizer.Kind != OptimizerSGD || t.Optimizer.Momentum != 0)
	def(o, "train.schedule.base_momentum", &t.Schedule.BaseMomentum, 0.85)
	def(o, "train.schedule.max_momentum", &t.Schedule.MaxMomentum, 0.95)
}

func (p *Optimizer) setDefaults(o *origin) {
	form, lr := FormPyTorch, 0.001
	switch p.Kind {
	case OptimizerAdam:
		form = FormKeras
	case OptimizerSGD:
		lr = 0.01
	}
	def(o, "train.optimizer.form", &p.Form, form)
	def(o, "train.optimizer.lr", &p.LR, lr)
	def(o, "train.optimizer.beta1", &p.Beta1, 0.9)
	def(o, "train.optimizer.beta2", &p.Beta2, 0.999)
	epsilon := 1e-7
	if p.Form == FormPyTorch {
		epsilon = 1e-8
	}
	def(o, "train.optimizer.epsilon", &p.Epsilon, epsilon)
	if p.Kind == OptimizerAdamW {
		def(o, "train.optimizer.weight_decay", &p.WeightDecay, 0.01)
	}
	for i := range p.Groups {
		at := indexed("train.optimizer.groups", i)
		def(o, at+".lr_factor", &p.Groups[i].LRFactor, 1)
		def(o, at+".weight_decay", &p.Groups[i].WeightDecay, p.WeightDecay)
	}
}
