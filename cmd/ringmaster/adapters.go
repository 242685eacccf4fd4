package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/trainer"
)

// loadAdapted loads a model that must have adapters. The caller closes it.
func loadAdapted(cmd *cobra.Command, flags *trainedFlags, path string) (*trained, error) {
	t, err := flags.find(cmd, path)
	if err != nil {
		return nil, err
	}
	if t.job.Model.LoRA.Rank == 0 {
		return nil, wrong(fmt.Errorf("%s: job %s has no adapters (model.lora); export it without --merge and --format peft", path, t.job.Name))
	}
	if err := t.recall(); err != nil {
		return nil, err
	}
	return t, t.load(1)
}

// exportMerged writes the model without adapters, their part added to the weights.
func exportMerged(cmd *cobra.Command, flags *trainedFlags, path, target string) error {
	t, err := loadAdapted(cmd, flags, path)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.merge(); err != nil {
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
	fmt.Printf("%s: the model with its adapters merged (digest %s)\n", target, checkpoint.Digest(t.state.Params))
	return nil
}

// merge makes of a model with adapters one without, their part added to its weights.
func (t *trained) merge() error {
	t.plan.Model.Merge(t.state.Params)
	values := map[string][]float32{}
	for _, p := range t.plan.Model.Params() {
		values[p.Name] = t.state.Params[p.Interval.Begin:p.Interval.End]
	}
	plain := *t.job
	plain.Model.LoRA, plain.Model.Freeze = config.LoRA{}, nil
	plain.Model.Init, plain.Model.InitDigest, plain.Model.InitSkip, plain.Model.InitStrict = "", "", nil, true
	plain.Train.Optimizer.Groups, plain.Train.Optimizer.NoDecay = nil, nil // which may name adapters
	m, err := trainer.BuildModel(&plain, t.data.Schema)
	if err != nil {
		return failed(err)
	}
	t.job, t.plan = &plain, &trainer.Plan{Job: &plain, Data: t.data, Model: m, Buckets: trainer.BucketsOf(&plain, m)}
	layout, err := t.plan.Layout()
	if err != nil {
		return failed(err)
	}
	state := layout.NewState()
	state.Step = t.state.Step
	copy(state.Stats, t.state.Stats)
	for _, p := range m.Params() {
		copy(state.Params[p.Interval.Begin:p.Interval.End], values[p.Name])
	}
	t.state = state
	return nil
}

// peftConfig is PEFT's adapter_config.json, as far as these adapters use it.
type peftConfig struct {
	Type      string   `json:"peft_type"`
	Task      *string  `json:"task_type"`
	Base      *string  `json:"base_model_name_or_path"`
	Inference bool     `json:"inference_mode"`
	Rank      int      `json:"r"`
	Alpha     float64  `json:"lora_alpha"`
	Dropout   float64  `json:"lora_dropout"`
	Targets   string   `json:"target_modules"` // a regular expression of whole names
	Save      []string `json:"modules_to_save"`
	Bias      string   `json:"bias"`
	FanInOut  bool     `json:"fan_in_fan_out"`
}

// peftPrefix is what PEFT puts before the model's names.
const peftPrefix = "base_model.model."

// exportAdapters writes the adapters, and what was trained beside them, as a folder that PEFT loads.
func exportAdapters(cmd *cobra.Command, flags *trainedFlags, path, folder string) error {
	t, err := loadAdapted(cmd, flags, path)
	if err != nil {
		return err
	}
	defer t.close()
	l := t.job.Model.LoRA
	train := config.NewPatterns(l.Train)
	about := peftConfig{Type: "LORA", Inference: true, Rank: l.Rank, Alpha: l.Alpha, Dropout: l.Dropout, Bias: "none"}
	var quoted []string
	for _, name := range t.plan.Model.Adapted() {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	about.Targets = strings.Join(quoted, "|")
	var tensors []checkpoint.Tensor
	for _, p := range t.plan.Model.Params() {
		if !p.Adapter && !train.Match(p.Name) {
			continue
		}
		tensors = append(tensors, checkpoint.Tensor{Name: peftPrefix + p.Name, Shape: p.Shape, Interval: p.Interval})
		if module, _, _ := cutLast(p.Name); !p.Adapter && !slices.Contains(about.Save, module) {
			about.Save = append(about.Save, module)
		}
	}
	text, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return failed(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return wrong(fmt.Errorf("--out %s: %w; name a folder to write", folder, err))
	}
	err = errors.Join(writeWhole(filepath.Join(folder, "adapter_model.safetensors"), func(w io.Writer) error {
		return checkpoint.WriteTensors(w, tensors, t.state.Params)
	}), writeWhole(filepath.Join(folder, "adapter_config.json"), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	}))
	if err != nil {
		return failed(fmt.Errorf("export to %s: %w", folder, err))
	}
	fmt.Printf("%s: the adapters of %s, as PEFT loads them\n", folder, plural.Of(len(quoted), "layer"))
	return nil
}

// cutLast divides a name before its last part.
func cutLast(name string) (before, last string, found bool) {
	if k := strings.LastIndexByte(name, '.'); k >= 0 {
		return name[:k], name[k+1:], true
	}
	return name, "", false
}
