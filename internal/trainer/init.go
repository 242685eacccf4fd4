package trainer

import (
	"context"
	"fmt"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/hf"
	"ringmaster/internal/model"
	"ringmaster/internal/plural"
)

// begin takes the weights that model.init names into the state, which holds the seed's values.
func (t *Trainer) begin(ctx context.Context) error {
	if t.Job.Model.Init == "" || t.Restores {
		return nil
	}
	layout, err := t.Layout()
	if err != nil {
		return err
	}
	state := t.State()
	_, err = weigh(t.Job, t.Model, func(w *checkpoint.Weights, c checkpoint.Choice) (checkpoint.Taken, error) {
		return w.Load(ctx, layout, c, &state)
	})
	return err
}

// ReadInit reads the weights that the job's model.init names as a state of the model: for those who ask a model that others have trained.
func ReadInit(ctx context.Context, job *config.Job, m *model.Model) (*checkpoint.State, error) {
	if err := hf.Check(job, m); err != nil {
		return nil, job.Blame("model", err)
	}
	layout, err := (&Plan{Job: job, Model: m}).Layout()
	if err != nil {
		return nil, err
	}
	state := layout.NewState()
	_, err = weigh(job, m, func(w *checkpoint.Weights, c checkpoint.Choice) (checkpoint.Taken, error) {
		return w.Load(ctx, layout, c, state)
	})
	return state, err
}

// CheckInit checks that the job's model can begin from the weights that model.init names, without taking them, and fixes their digest in
// the job, where it is not yet. The note says what is taken, in one line; "" without model.init.
func CheckInit(ctx context.Context, job *config.Job, m *model.Model) (note string, err error) {
	if job.Model.Init == "" {
		return "", nil
	}
	layout, err := (&Plan{Job: job, Model: m}).Layout()
	if err != nil {
		return "", err
	}
	if err := hf.Check(job, m); err != nil {
		return "", job.Blame("model", err)
	}
	path := ""
	taken, err := weigh(job, m, func(w *checkpoint.Weights, c checkpoint.Choice) (checkpoint.Taken, error) {
		path = w.Path
		return w.Check(ctx, layout, c)
	})
	if err != nil {
		return "", err
	}
	job.Model.InitDigest = taken.Digest.String()
	note = fmt.Sprintf("begins from %s of %s, digest %s", plural.Of(taken.Tensors, "tensor"), path, taken.Digest)
	if len(taken.Drawn) > 0 {
		note += "; from the seed: " + checkpoint.Named(taken.Drawn)
	}
	if len(taken.Passed) > 0 {
		note += "; passed over: " + checkpoint.Named(taken.Passed)
	}
	return note, nil
}

// weigh opens the weights that model.init names and takes them as the job says. They must have the digest that the job has, if it has one.
func weigh(job *config.Job, of *model.Model, take func(*checkpoint.Weights, checkpoint.Choice) (checkpoint.Taken, error)) (checkpoint.Taken, error) {
	m := &job.Model
	adapters := map[string]bool{} // which the weights may lack
	for _, t := range of.Params() {
		adapters[t.Name] = t.Adapter
	}
	w, err := checkpoint.OpenWeights(config.ExpandHome(m.Init))
	if err != nil {
		return checkpoint.Taken{}, job.Errorf("model.init", "model.init: %w", err)
	}
	if err := CheckForm(job, w.Path, w.Job); err != nil {
		return checkpoint.Taken{}, err
	}
	skip := config.NewPatterns(m.InitSkip)
	taken, err := take(w, checkpoint.Choice{Skip: skip.Match, Optional: func(name string) bool { return adapters[name] }, Loose: !m.InitStrict})
	if err != nil {
		return taken, job.Errorf("model.init", "model.init: %w", err)
	}
	for _, i := range skip.Unused() {
		key := fmt.Sprintf("model.init_skip[%d]", i)
		return taken, job.Errorf(key, "%s: no tensor of the model or of %s is named %s", key, w.Path, m.InitSkip[i])
	}
	if got := taken.Digest.String(); m.InitDigest != "" && got != m.InitDigest {
		return taken, job.Errorf("model.init", "model.init: %s holds other weights than the job was submitted with (digest %s, model.init_digest says %s); copy the same files there",
			w.Path, taken.Digest.Short(), m.InitDigest[:12]+"…")
	}
	return taken, nil
}

// CheckForm refuses weights of MobileNetV2 in one form for a job with the other, in which they give wrong answers. madeBy is the job that made them,
// as canonical YAML; without it nothing can be told, since both forms have the same names and shapes.
func CheckForm(job *config.Job, path, madeBy string) error {
	if madeBy == "" || job.Model.Kind != config.ModelMobileNetV2 {
		return nil
	}
	made, err := config.Decode([]byte(madeBy))
	if err != nil || made.Model.Kind != config.ModelMobileNetV2 || made.Model.Form == job.Model.Form {
		return nil // a job that cannot be read any more tells nothing
	}
	return job.Errorf("model.form", "model.form is %s, but the weights in %s are of a model with model.form %s and would give wrong answers: set model.form: %s",
		job.Model.Form, path, made.Model.Form, made.Model.Form)
}
