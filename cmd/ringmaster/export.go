package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/onnx"
)

// exportFormat is a form in which a model can be written.
type exportFormat struct {
	name, extension string
}

var exportFormats = []exportFormat{{"safetensors", ".safetensors"}, {"onnx", ".onnx"}}

// exportCommand is `export`, and its older name `checkpoints export`.
func exportCommand() *cobra.Command {
	var target, format, shard string
	var merge bool
	flags := trainedFlags{threads: 1}
	cmd := &cobra.Command{
		Use:   "export CHECKPOINT --out FILE|FOLDER",
		Short: "Write a checkpoint's model as other programs read it: safetensors, ONNX, or a folder of Hugging Face's",
		Long: "Write a checkpoint's model as a file that other programs read.\n" +
			"safetensors: the parameters under PyTorch's names. onnx: the model as it predicts (opset 17), for onnxruntime and others; its\n" +
			"metadata has the names of the classes, what the data were, and the digest. The format follows from FILE's name, unless said.\n" +
			"hf: a folder as Hugging Face's transformers loads it (gpt, llama, bert, t5; mobilenetv2 for torchvision): model.safetensors, config.json,\n" +
			"the tokenizer's files and a model card. model.init reads such folders.\n" +
			"CHECKPOINT is the folder of a run, a folder of checkpoints, one checkpoint, or a .safetensors file with --job: what comes out holds the\n" +
			"job, the preprocessing and the names of the classes, so that predict needs no other file.",
		Args: cli.Takes("CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if target == "" {
				return wrong(errors.New("--out is missing: name the file to write"))
			}
			if cmd.Flags().Changed("shard-size") && format != "hf" {
				return wrong(errors.New("--shard-size goes with --format hf"))
			}
			switch format {
			case "peft":
				return exportAdapters(cmd, &flags, args[0], target)
			case "hf":
				return exportFolder(cmd, &flags, args[0], target, folderOptions{merge: merge, shard: shard})
			}
			form, err := formatOf(format, target)
			if err != nil {
				return wrong(err)
			}
			if err := checkTarget("--out", target); err != nil {
				return wrong(err)
			}
			if merge && form.name != "safetensors" {
				return wrong(errors.New("--merge goes with --format safetensors; ONNX files hold what adapters give as it is computed"))
			}
			if form.name == "onnx" {
				return exportONNX(cmd, &flags, args[0], target)
			}
			if merge {
				return exportMerged(cmd, &flags, args[0], target)
			}
			if isFile(args[0]) {
				return exportFile(cmd, &flags, args[0], target)
			}
			if flags.jobFile != "" || flags.labels != "" || len(flags.sets) > 0 {
				return wrong(errors.New("--job, --labels and --set are for --format onnx and for files; a checkpoint's parameters need none"))
			}
			return exportParameters(cmd, &flags, args[0], target)
		},
	}
	cmd.Flags().StringVar(&target, "out", "", "`file` to write; of hf and peft the folder")
	cmd.Flags().StringVar(&format, "format", "", "safetensors, onnx, hf, which is a folder, or, of adapters (model.lora), peft, which is one too (default: as FILE is named, else safetensors)")
	cmd.Flags().StringVar(&shard, "shard-size", "5GB", "hf: the `size` from which on weights are divided into several files: 200MB, 5GB")
	cmd.Flags().BoolVar(&merge, "merge", false, "safetensors, hf: add what adapters (model.lora) give to the weights, and leave them out")
	flags.bindChoice(cmd)
	cmd.Flags().StringVar(&flags.jobFile, "job", "", "the job `file` that a .safetensors file, or a folder of weights, belongs to")
	cmd.Flags().StringVar(&flags.labels, "labels", "", "of a .safetensors file of a model of photos: the `file` that names the classes, one a line, in their order")
	cmd.Flags().StringArrayVar(&flags.sets, "set", nil, "onnx: override where the job's data are, `data.dir=DIR`, if the checkpoint does not describe them")
	return cmd
}

// formatOf is the format of the name, or else the one that the file's name says. It refuses to write one under the name of another.
func formatOf(name, target string) (exportFormat, error) {
	ext := filepath.Ext(target)
	named := slices.IndexFunc(exportFormats, func(f exportFormat) bool { return strings.EqualFold(f.extension, ext) })
	chosen := slices.IndexFunc(exportFormats, func(f exportFormat) bool { return f.name == name })
	switch {
	case name != "" && chosen < 0:
		return exportFormat{}, fmt.Errorf("--format %s: there is no such format; take safetensors, onnx, hf or peft", name)
	case name == "" && named >= 0:
		return exportFormats[named], nil
	case name == "" && ext == "":
		return exportFormats[0], nil
	case name == "":
		return exportFormat{}, fmt.Errorf("--out %s: an export is in the format safetensors or onnx, and %s stands for neither: name it %s.safetensors or .onnx", target, ext, strings.TrimSuffix(target, ext))
	case ext != "" && named != chosen:
		f := exportFormats[chosen]
		return exportFormat{}, fmt.Errorf("--out %s: %s does not stand for the format %s: name it %s%s", target, ext, f.name, strings.TrimSuffix(target, ext), f.extension)
	}
	return exportFormats[chosen], nil
}

// isFile reports whether a path leads to a file, which is one of parameters alone.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// exportFile writes parameters that came from elsewhere with the job and the data that they belong to, so that predict needs nothing else.
func exportFile(cmd *cobra.Command, flags *trainedFlags, path, target string) error {
	t, err := flags.find(cmd, path)
	if err != nil {
		return err
	}
	if err := t.recall(); err != nil {
		return err
	}
	defer t.close()
	if err := t.load(1); err != nil {
		return err
	}
	layout, err := t.plan.Layout()
	if err != nil {
		return failed(err)
	}
	origin := checkpoint.Origin{Job: string(t.job.Encode()), Data: string(t.data.Describe())}
	if err := writeWhole(target, func(w io.Writer) error { return layout.WriteModel(w, t.state, origin) }); err != nil {
		return failed(fmt.Errorf("export to %s: %w", target, err))
	}
	fmt.Printf("%s: the parameters of %s, with the job and the names of the classes (digest %s)\n", target, path, t.origin().Digest)
	return nil
}

// exportParameters writes a checkpoint's parameters as they lie in its files.
func exportParameters(cmd *cobra.Command, flags *trainedFlags, path, target string) error {
	entry, err := flags.pick(cmd, path)
	if err != nil {
		return err
	}
	what, digest := "", checkpoint.Hash{}
	err = writeWhole(target, func(w io.Writer) (err error) {
		if what, digest, err = writeWeights(w, entry, flags.noEMA); err != nil {
			return fmt.Errorf("export to %s: %w", target, err)
		}
		return nil
	})
	if err != nil {
		return failed(err)
	}
	fmt.Printf("%s: %s after step %d (digest %s)\n", target, what, entry.Step, digest)
	return nil
}

// exportONNX writes the model as it predicts.
func exportONNX(cmd *cobra.Command, flags *trainedFlags, path, target string) error {
	t, err := flags.find(cmd, path)
	if err != nil {
		return err
	}
	if err := t.recall(); err != nil {
		return err
	}
	defer t.close()
	if err := t.load(1); err != nil {
		return err
	}
	about, err := t.about()
	if err != nil {
		return failed(err)
	}
	err = writeWhole(target, func(w io.Writer) error {
		if err := onnx.Write(w, t.plan.Model, t.state.Params, t.state.Stats, about); err != nil {
			return fmt.Errorf("export to %s: %w", target, err)
		}
		return nil
	})
	if err != nil {
		return failed(err)
	}
	after := ""
	if t.manifest != nil {
		after = fmt.Sprintf(" after step %d", t.manifest.Step)
	}
	fmt.Printf("%s: the model%s (digest %s)\n", target, after, about["digest"])
	return nil
}

// about is what an ONNX file says of the model beside its computation. classes, data and data_keys are JSON.
func (t *trained) about() (map[string]string, error) {
	origin, loss := t.origin(), t.job.Train.Loss
	about := map[string]string{"job": t.job.Name, "digest": origin.Digest, "loss": loss, "output": outputs[loss], "data": string(t.data.Describe())}
	if losses := t.job.Train.Losses; len(losses) > 0 {
		var each []string
		for _, l := range losses {
			each = append(each, l.Target+": "+outputs[l.Kind])
		}
		about["output"] = strings.Join(each, "\n")
	}
	if how := preprocessing[t.job.Data.Kind]; how != "" {
		about["preprocessing"] = how
	} else {
		about["preprocessing"] = "columns side by side as data lists them: (value - mean) / std where it has these; a category is a 1 in its place among zeros"
	}
	if origin.Step != nil {
		about["step"] = strconv.FormatUint(*origin.Step, 10)
	}
	keys := map[string]string{} // how records became the input: means and deviations, the length of a text
	for _, item := range t.job.Contract() {
		if key, is := strings.CutPrefix(item.Key, "data."); is {
			keys[key] = item.Value
		}
	}
	for name, value := range map[string]any{"data_keys": keys, "classes": t.data.Labels} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		about[name] = string(text)
	}
	if len(t.data.Labels) == 0 {
		delete(about, "classes")
	}
	return about, nil
}

// preprocessing says how records of a kind of data become inputs; of the others, which are tables, about says it.
var preprocessing = map[string]string{
	config.DataGlyphs: "value / 255",
	config.DataMNIST:  "value / 255",
	config.DataImages: "red, green, blue: (value / 255 - mean) / std, with those of data_keys",
	config.DataText:   "the place of each character in data's characters; without these, bytes",
}

// outputs says what a model's output is, by the loss that it was trained with.
var outputs = map[string]string{
	"cross_entropy": "logits; their softmax is the probabilities of the classes",
	"binary":        "logits; their sigmoid is the probabilities of the labels",
	"mse":           "values", "mae": "values", "huber": "values",
}
