package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/codes"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/hf"
	"ringmaster/internal/launch"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// trained is what a training run left: a checkpoint, or a file of parameters with the job that they belong to.
type trained struct {
	path       string
	job        *config.Job
	jobFile    string               // that the job was read from; "": it is the checkpoint's
	placed     bool                 // the command line says where the data is
	described  []byte               // the description of the data that the checkpoint or the file holds; nil: none
	labels     string               // the file that names the classes; "": the description does, or the data
	manifest   *checkpoint.Manifest // nil: a file of parameters
	entry      *checkpoint.Entry    // likewise
	data       *dataset.Data
	plan       *trainer.Plan
	state      *checkpoint.State
	team       *kernel.Team
	pretrained bool   // the path is a folder of weights that others have trained
	noEMA      bool   // the trained parameters are wanted, not their average
	averaged   string // the name of the average that is in their place
}

// trainedFlags are the flags by which eval and predict find what they need.
type trainedFlags struct {
	metrics bool     // train.metrics may be set too
	folders bool     // folders of Hugging Face's form are taken, too
	heeds   []string // keys below data, beside data.dir, that the command can heed of a checkpoint's job
	sets    []string
	jobFile string
	labels  string
	step    uint64
	byStep  bool
	best    bool
	noEMA   bool
	threads int
	asJSON  bool
}

func (f *trainedFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "override a key of the job's data, `data.KEY=VALUE`; repeatable")
	cmd.Flags().StringVar(&f.jobFile, "job", "", "the job `file` that a .safetensors file, or a folder of weights, belongs to")
	f.bindChoice(cmd)
	cmd.Flags().IntVar(&f.threads, "threads", launch.DefaultThreads(1), "compute threads")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
}

// checkThreads checks a number of compute threads of this process.
func checkThreads(threads int) error {
	if threads < 1 || threads > config.MaxThreads {
		return wrong(fmt.Errorf("--threads must be from 1 to %d, not %d", config.MaxThreads, threads))
	}
	return nil
}

// selectKernel takes the kernels that the environment asks for. Commands that start workers ask too: these would fail one by one.
func selectKernel() error { return wrong(kernel.Select(os.Getenv(kernel.EnvironmentVariable))) }

// find finds the checkpoint or the file and reads its job. Nothing is computed yet.
func (f *trainedFlags) find(cmd *cobra.Command, path string) (*trained, error) {
	f.byStep = cmd.Flags().Changed("step")
	if err := checkThreads(f.threads); err != nil {
		return nil, err
	}
	for _, set := range f.sets {
		if f.metrics && strings.HasPrefix(set, "train.metrics=") {
			continue
		}
		if !strings.HasPrefix(set, "data.") {
			also := ""
			if f.metrics {
				also = " and train.metrics"
			}
			return nil, wrong(fmt.Errorf("--set %s: of a trained model only keys below data%s can be set, like data.dir=DIR", set, also))
		}
	}
	if err := selectKernel(); err != nil {
		return nil, err
	}
	_, err := regularfile.Stat(path)
	var other *regularfile.Error
	switch {
	case err != nil && f.jobFile != "":
		if t, err := f.findFolder(path); t != nil || err != nil {
			return t, err
		}
		return nil, wrong(fmt.Errorf("%w; --job goes with a .safetensors file, and a checkpoint holds its own job", err))
	case errors.As(err, &other) && other.Kind != regularfile.Folder:
		return nil, wrong(fmt.Errorf("%w; name a checkpoint or a .safetensors file", err))
	case err != nil:
		if t, err := f.findFolder(path); t != nil || err != nil {
			return t, err
		}
		return f.findCheckpoint(cmd, path) // which says what is wrong with a path that leads nowhere
	}
	if f.byStep || f.best {
		return nil, wrong(fmt.Errorf("--step and --best: %s is a file of parameters, which has no steps", path))
	}
	t := &trained{path: path, jobFile: f.jobFile, labels: f.labels, placed: f.places()}
	if f.jobFile == "" {
		return t, f.findOrigin(t)
	}
	if t.job, err = config.Load(f.jobFile, f.sets); err != nil {
		return nil, wrong(err)
	}
	if err := hf.Settle(t.job); err != nil {
		return nil, wrong(t.job.Blame("model", err))
	}
	origin, err := checkpoint.OriginOf(path)
	if err != nil {
		return t, nil // reading the parameters says so
	}
	return t, wrong(trainer.CheckForm(t.job, path, origin.Job))
}

// findFolder takes a folder as Hugging Face's save_pretrained writes it; nil if the path is none.
func (f *trainedFlags) findFolder(path string) (*trained, error) {
	c, err := hf.ReadConfig(path)
	if c == nil || err != nil {
		return nil, wrong(err)
	}
	if f.byStep || f.best {
		return nil, wrong(fmt.Errorf("--step and --best: %s is a folder of weights, which has no steps", path))
	}
	if f.jobFile != "" {
		return f.findFolderOf(path)
	}
	if !f.folders {
		return nil, wrong(fmt.Errorf("%s is a folder of weights, which names no data: add --job JOB.yaml, whose data are to be read", path))
	}
	t := &trained{path: path, jobFile: path, pretrained: true}
	if t.job, err = c.Job(); err != nil {
		return nil, wrong(err)
	}
	if t.described, err = dataset.DescribeTokenized(t.job.Data, c.Labels()); err != nil {
		return nil, wrong(fmt.Errorf("%w; the folder must hold the model's tokenizer, too: tokenizer.json, or the files that save_pretrained writes of one", err))
	}
	return t, nil
}

// findFolderOf takes a folder of weights as what the job file's model begins from.
func (f *trainedFlags) findFolderOf(path string) (*trained, error) {
	t := &trained{path: path, jobFile: f.jobFile, labels: f.labels, pretrained: true, placed: f.places()}
	var err error
	if t.job, err = config.Load(f.jobFile, f.sets); err != nil {
		return nil, wrong(err)
	}
	m := &t.job.Model
	m.Init, m.InitDigest, m.InitStrict, m.InitSkip = path, "", true, nil
	if err := hf.Settle(t.job); err != nil {
		return nil, wrong(t.job.Blame("model", err))
	}
	return t, nil
}

// findOrigin reads the job that a file of parameters belongs to from the file.
func (f *trainedFlags) findOrigin(t *trained) error {
	origin, err := checkpoint.OriginOf(t.path)
	if err != nil {
		return wrong(fmt.Errorf("read the parameters in %s: %w; get the file again, or export it again by ringmaster export", t.path, err))
	}
	if origin.Job == "" {
		return wrong(fmt.Errorf("%s is a file of parameters alone: name the job that it belongs to by --job JOB.yaml", t.path))
	}
	t.jobFile, t.described = "the job in "+t.path, []byte(origin.Data)
	t.job, err = f.parse(t.jobFile, origin.Job)
	return err
}

// parse reads the job that a checkpoint or a file holds, with what the flags set in it.
func (f *trainedFlags) parse(name, text string) (*config.Job, error) {
	was, err := config.Decode([]byte(text))
	if err != nil {
		return nil, wrong(fmt.Errorf("%s: %w", name, err))
	}
	for _, set := range f.sets {
		if kind, ok := strings.CutPrefix(set, "data.kind="); ok && !sameKeys(kind, was.Data.Kind) {
			return nil, wrong(fmt.Errorf("--set %s: job %s was trained on data.kind: %s, which has other keys; leave it out", set, was.Name, was.Data.Kind))
		}
	}
	job, err := config.Parse(name, []byte(text), f.sets)
	if err != nil {
		return nil, wrong(err)
	}
	return job, wrong(f.heeded(was, job))
}

func (f *trainedFlags) findCheckpoint(cmd *cobra.Command, path string) (*trained, error) {
	entry, err := f.pick(cmd, path)
	if err != nil {
		return nil, err
	}
	job, err := f.parse("the job in "+entry.Path, entry.Manifest.Config)
	if err != nil {
		return nil, err
	}
	return &trained{path: entry.Path, job: job, labels: f.labels, placed: f.places(), described: entry.Manifest.Data, manifest: entry.Manifest, entry: entry, noEMA: f.noEMA}, nil
}

// places reports whether the flags say where the data is.
func (f *trainedFlags) places() bool {
	return slices.ContainsFunc(f.sets, func(set string) bool {
		return strings.HasPrefix(set, "data.dir=") || strings.HasPrefix(set, "data.path=")
	})
}

// heeded refuses what the flags change in a checkpoint's job beyond the keys that the command heeds: the model was trained as the job was.
func (f *trainedFlags) heeded(was, job *config.Job) error {
	may := []string{"data.dir"}
	for _, item := range was.Contract() {
		if slices.Contains(f.heeds, item.Key) && (item.Key != "data.kind" || digits(was.Data.Kind)) {
			may = append(may, item.Key)
		}
	}
	for _, d := range config.Changes(was, job) {
		if !slices.Contains(may, d.Key) {
			return job.Errorf(d.Key, "%s when the model was trained; leave it out, here only %s may be set", d, strings.Join(may, ", "))
		}
	}
	return nil
}

// sameKeys reports whether a job's keys below data have a meaning for another kind of data too: only digits have two kinds.
func sameKeys(kind, other string) bool { return kind == other || digits(kind) && digits(other) }

func digits(kind string) bool { return kind == config.DataGlyphs || kind == config.DataMNIST }

// recall makes the data set without its samples from the description of the data, or from the names of the classes, or opens the data
// where there is neither.
func (t *trained) recall() (err error) {
	switch {
	case t.labels != "":
		if t.described, err = dataset.DescribeLabelled(t.job.Data, t.labels); err != nil {
			return wrong(t.job.Blame("data", err))
		}
	case len(t.described) == 0:
		return t.open()
	}
	t.data, err = dataset.Recall(t.job.Data, t.described)
	return wrong(err) // the description is whole, so it is the keys set that do not go with it
}

// open reads the data, as the model was trained on them where the checkpoint describes that.
func (t *trained) open() error {
	if err := dataset.Settle(t.job); err != nil {
		return wrong(t.job.Blame("data", err))
	}
	var data *dataset.Data
	var err error
	if len(t.described) > 0 {
		data, err = codes.OpenLike(t.job.Data, t.described)
	} else {
		data, err = codes.Open(t.job.Data)
	}
	if err != nil {
		if of, ok := errors.AsType[*config.KeyError](err); ok && of.Key == "data.dir" && !t.placed {
			err = fmt.Errorf("%w; here by --set data.dir=PATH", err)
		}
		return wrong(t.job.Blame("data", err))
	}
	t.data = data
	if data.LeftOut != "" || len(data.Warnings) > 0 {
		warn(data.Account())
	}
	t.job.Resolve(data.Train.Len())
	return nil
}

// load builds the model and reads its state. The caller calls close afterwards.
func (t *trained) load(threads int) error {
	m, err := trainer.BuildModel(t.job, t.data.Schema)
	if err != nil {
		return wrong(err)
	}
	t.plan = &trainer.Plan{Job: t.job, Data: t.data, Model: m, Buckets: trainer.BucketsOf(t.job, m)}
	t.team = kernel.NewTeam(threads)
	layout, err := t.plan.Layout()
	if err != nil {
		return failed(err)
	}
	if t.entry != nil {
		if t.state, err = t.entry.Load(layout); err != nil {
			return wrong(err) // its files are whole, so it is the keys set that do not go with it
		}
		t.average()
		return nil
	}
	if t.pretrained {
		t.state, err = trainer.ReadInit(context.Background(), t.job, m)
		return wrong(err)
	}
	if t.state, err = readParameters(t.path, layout); errors.Is(err, checkpoint.ErrDamaged) {
		return wrong(fmt.Errorf("read the parameters in %s: %w; get the file again, or export it again by ringmaster export", t.path, err))
	}
	if err != nil {
		err = fmt.Errorf("read the parameters in %s for the model of %s%s: %w: its model.* and data.* must be those of the model that was saved", t.path, t.jobFile, t.ofLabels(), err)
	}
	return wrong(err)
}

// ofLabels says how many classes the file of labels has, where there is one.
func (t *trained) ofLabels() string {
	if t.labels == "" {
		return ""
	}
	return fmt.Sprintf(" and the %d classes of %s", len(t.data.Labels), t.labels)
}

func (t *trained) close() {
	if t.team != nil {
		t.team.Close()
	}
}

// readParameters reads a safetensors file.
func readParameters(path string, layout *checkpoint.Layout) (*checkpoint.State, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return layout.ReadModel(f, info.Size())
}

// origin says in JSON what was evaluated or asked.
type origin struct {
	Job        string  `json:"job"`
	Checkpoint string  `json:"checkpoint"`        // folder, or file of parameters
	Step       *uint64 `json:"step,omitempty"`    // not for a file of parameters
	Weights    string  `json:"weights,omitempty"` // ema: the average of the parameters, which the digest is of
	Digest     string  `json:"digest"`
}

func (t *trained) origin() origin {
	o := origin{Job: t.job.Name, Checkpoint: t.path, Weights: t.averaged, Digest: checkpoint.Digest(t.state.Params).String()}
	if t.manifest != nil {
		o.Step = &t.manifest.Step
	}
	return o
}
