package hf

import (
	"fmt"
	"strconv"
	"strings"

	"ringmaster/internal/config"
)

// loads is how Python loads a model of a kind: the library, the pipeline, and lines of code.
var loads = map[string][3]string{
	config.ModelGPT:   {"transformers", "text-generation", "from transformers import AutoModelForCausalLM\nmodel = AutoModelForCausalLM.from_pretrained(FOLDER)"},
	config.ModelLLaMA: {"transformers", "text-generation", "from transformers import AutoModelForCausalLM\nmodel = AutoModelForCausalLM.from_pretrained(FOLDER)"},
	config.ModelT5:    {"transformers", "translation", "from transformers import AutoModelForSeq2SeqLM\nmodel = AutoModelForSeq2SeqLM.from_pretrained(FOLDER)"},
	config.ModelBERT: {"transformers", "fill-mask",
		"from transformers import AutoModelForMaskedLM\nmodel = AutoModelForMaskedLM.from_pretrained(FOLDER)"},
	config.ModelMobileNetV2: {"torchvision", "image-classification",
		"import torchvision, safetensors.torch\nmodel = torchvision.models.mobilenet_v2(num_classes=CLASSES)\n" +
			"model.load_state_dict(safetensors.torch.load_file(FOLDER + \"/model.safetensors\"))\nmodel.eval()"},
}

// card is README.md: what the model is, where it comes from, and how it is loaded.
func (x *Export) card(f *facts) []byte {
	load := loads[f.Kind]
	if f.Kind == config.ModelBERT && f.classes > 0 {
		load[1] = "text-classification"
		load[2] = strings.ReplaceAll(load[2], "AutoModelForMaskedLM", "AutoModelForSequenceClassification")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---\nlibrary_name: %s\npipeline_tag: %s\ntags:\n- ringmaster\n---\n\n# %s\n\n", load[0], load[1], x.Job.Name)
	fmt.Fprintf(&b, "A %s of %s parameters, trained by Ringmaster. Its job file, its data and its seed determine every bit of it.\n\n", f.Kind, strconv.Itoa(x.Model.Len()))
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	b.WriteString("| | |\n|---|---|\n")
	what := "parameters"
	if x.Average {
		what = "average of the parameters"
	}
	row("digest (SHA-256 of the "+what+")", "`%s`", x.Digest)
	row("step", "%d", x.State.Step)
	row("seed", "%d", x.Job.Seed)
	row("data", "%s", x.Job.Data.Kind)
	if x.Job.Model.InitDigest != "" {
		row("began from weights of digest", "`%s`", x.Job.Model.InitDigest)
	}
	x.figures(row)
	code := strings.ReplaceAll(strings.ReplaceAll(load[2], "FOLDER", `"."`), "CLASSES", fmt.Sprint(f.classes))
	fmt.Fprintf(&b, "\n```python\n%s\n```\n", code)
	if x.Job.Model.Variant == "cifar" {
		b.WriteString("\nIts stem and its second stage have a stride of 1, as small images need it: set `stride` of `features[0][0]` and `features[2].conv[1][0]` to 1.\n")
	}
	return []byte(b.String())
}

// figures are the rows of the last evaluation.
func (x *Export) figures(row func(name, format string, args ...any)) {
	e := x.Epoch
	if e == nil {
		return
	}
	row("training loss", "%.6g (epoch %d)", e.TrainLoss, e.Epoch)
	if !e.HasEval {
		return
	}
	row("evaluation loss", "%.6g", e.EvalLoss)
	if x.Model.Classifies() {
		row("evaluation accuracy", "%.4f", e.EvalAccuracy)
	}
}
