// Package codes writes pictures as the codes of a trained autoencoder, and draws the pictures that codes stand for. It opens the data of a
// job, which may ask for that by data.codes.
package codes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/tensor/kernel"
)

// Open is dataset.Open, with the pictures as codes where data.codes names an autoencoder. Errors name the key at fault.
func Open(c config.Data) (*dataset.Data, error) {
	if c.Codes == "" {
		return dataset.Open(c)
	}
	coder, err := load(config.ExpandHome(c.Codes))
	if err != nil {
		return nil, config.KeyErrorf("data.codes", "%s: %w", c.Codes, err)
	}
	return coder.open(c, nil)
}

// OpenLike is dataset.OpenLike, with the pictures as the codes that the described data have, by the autoencoder that the description holds.
func OpenLike(c config.Data, described []byte) (*dataset.Data, error) {
	captions, err := dataset.DescribedCaptions(described)
	if err != nil {
		return nil, err
	}
	if captions == nil {
		return dataset.OpenLike(c, described)
	}
	coder, err := Unpack(captions.Coder())
	if err != nil {
		return nil, err
	}
	return coder.open(c, captions)
}

// Coder is a trained autoencoder that makes codes of pictures, and pictures of codes. One goroutine uses it at a time.
type Coder struct {
	*model.Coder
	job     *config.Job
	data    *dataset.Data // without samples
	state   *checkpoint.State
	replica *model.Replica
	packed  []byte
}

// maxBytes bounds a file of parameters. What checkpoints keep is less.
const maxBytes = 64 << 20

// load reads a coder from the newest good checkpoint of a run, or from a file of parameters that ringmaster export wrote.
func load(path string) (*Coder, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		packed, err := readFile(path)
		if err != nil {
			return nil, err
		}
		return Unpack(packed)
	}
	found, err := checkpoint.Locate(disk.OS{}, path)
	if err != nil {
		return nil, err
	}
	entry, err := found.Best()
	if err != nil {
		return nil, err
	}
	packed, err := export(entry)
	if err != nil {
		return nil, err
	}
	return Unpack(packed)
}

func readFile(path string) ([]byte, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packed, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(packed) > maxBytes {
		err = fmt.Errorf("it has more than the %d bytes that an autoencoder may have", maxBytes)
	}
	return packed, err
}

// export is the file of a checkpoint's parameters, or of their average where the job keeps one.
func export(entry *checkpoint.Entry) ([]byte, error) {
	job, err := config.Decode([]byte(entry.Manifest.Config))
	if err != nil {
		return nil, err
	}
	out := &bounded{}
	if job.Train.EMA > 0 {
		_, err = entry.ExportBuffer(out, optim.AverageName)
	} else {
		err = entry.Export(out)
	}
	return out.Bytes(), err
}

// bounded is a buffer of at most maxBytes.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxBytes {
		return 0, fmt.Errorf("its parameters have more than the %d bytes that an autoencoder may have", maxBytes)
	}
	return b.Buffer.Write(p)
}

// Unpack makes a coder of what Pack gave, or of the content of a file of parameters that ringmaster export wrote.
func Unpack(packed []byte) (*Coder, error) {
	size := int64(len(packed))
	origin, err := checkpoint.OriginIn(bytes.NewReader(packed), size)
	if err != nil {
		return nil, err
	}
	if origin.Job == "" || origin.Data == "" {
		return nil, errors.New("it does not say which job its parameters are of: name a run, or a file that ringmaster export wrote")
	}
	c := &Coder{packed: packed}
	if c.job, err = config.Decode([]byte(origin.Job)); err != nil {
		return nil, err
	}
	if c.data, err = dataset.Recall(c.job.Data, []byte(origin.Data)); err != nil {
		return nil, err
	}
	l, err := loss.New(c.job.Train, c.data.Schema)
	if err != nil {
		return nil, err
	}
	m, err := model.Build(c.job.Model, c.data.Schema, l)
	if err != nil {
		return nil, err
	}
	if c.job.Train.Precision == config.PrecisionBFloat16 { // so that pictures get the codes that it was trained with
		m = m.InBFloat16()
	}
	if c.Coder, err = m.Coder(); err != nil {
		return nil, fmt.Errorf("job %s is no autoencoder with codes: %w", c.job.Name, err)
	}
	layout, err := checkpoint.NewLayout(1, tensors(m.Params()), tensors(m.Stats()), nil)
	if err != nil {
		return nil, err
	}
	if c.state, err = layout.ReadModel(bytes.NewReader(packed), size); err != nil {
		return nil, err
	}
	c.replica = m.NewReplica(nil)
	return c, nil
}

func tensors(from []model.Tensor) []checkpoint.Tensor {
	out := make([]checkpoint.Tensor, len(from))
	for i, t := range from {
		out[i] = checkpoint.Tensor{Name: t.Name, Shape: t.Shape, Interval: t.Interval}
	}
	return out
}

// open opens the data as captions and codes, with the vocabulary of a model, if one is given.
func (c *Coder) open(data config.Data, like *dataset.Captions) (*dataset.Data, error) {
	if err := c.goesWith(&data); err != nil {
		return nil, err
	}
	pictures, err := dataset.OpenPictures(data)
	if err != nil {
		return nil, err
	}
	team := kernel.NewTeam(runtime.GOMAXPROCS(0))
	defer team.Close()
	c.replica = c.Model().NewReplica(team)
	defer func() { c.replica = c.Model().NewReplica(nil) }()
	return dataset.Caption(data, pictures, c, like)
}

// goesWith refuses pictures that come as other numbers than those that the autoencoder was trained on.
func (c *Coder) goesWith(data *config.Data) error {
	was := &c.job.Data
	for _, k := range []struct {
		key  string
		same bool
		was  any
	}{
		{"data.mean", slices.Equal(data.Mean, was.Mean), was.Mean},
		{"data.std", slices.Equal(data.Std, was.Std), was.Std},
		{"data.resize", slices.Equal(data.Resize, was.Resize), was.Resize},
		{"data.center_crop", data.CenterCrop == was.CenterCrop, was.CenterCrop},
		{"data.filter", data.Filter == was.Filter, was.Filter},
	} {
		if !k.same {
			return config.KeyErrorf(k.key, "the autoencoder of data.codes was trained with %v: set the same", k.was)
		}
	}
	return nil
}

// Reads implements dataset.Coder.
func (c *Coder) Reads() *dataset.Field { return c.data.Schema.Of(dataset.Input)[0] }

// Pack implements dataset.Coder: the file that ringmaster export writes.
func (c *Coder) Pack() []byte { return c.packed }

// Encode implements dataset.Coder.
func (c *Coder) Encode(pixels []float32, n int) []int32 {
	batch := dataset.Batch{N: n, Columns: make([]dataset.Column, len(c.data.Schema))}
	batch.Columns[c.data.Schema.Find(c.Reads().Name)].Floats = pixels
	return c.replica.Encode(c.state.Params, c.state.Stats, &batch)
}
