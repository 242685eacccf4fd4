package trainer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/codes"
	"ringmaster/internal/config"
)

const (
	smallDVAE = `
seats: 3
model:
    kind: sequential
    stack:
        - {kind: conv, out: 6, kernel: 7, stride: 7}
        - {kind: batch_norm}
        - {kind: quantize, codes: 5, init: uniform}
        - {kind: conv_transpose, out: 1, kernel: 7, stride: 7}
        - {kind: flatten}
data: {kind: glyphs}
train: {steps: 6, batch_per_seat: 3, loss: mse, target: pixels, optimizer: {kind: adam, lr: 0.01}%s}
`
	smallDALLE = `
seats: 3
model: {kind: gpt, depth: 1, heads: 2, width: 12}
data: {kind: glyphs, codes: %q}
train: {steps: 6, batch_per_seat: 2, metrics: [perplexity], optimizer: {kind: adam, lr: 0.01}}
`
)

func assembleJob(text string) (*Plan, error) {
	job, err := config.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		return nil, err
	}
	return Assemble(job)
}

// exported writes what ringmaster export writes of a state.
func exported(t *testing.T, p *Plan, s checkpoint.State, origin checkpoint.Origin) string {
	t.Helper()
	l, err := checkpoint.NewLayout(1, p.Tensors(), p.StatTensors(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Optim, s.History = nil, nil
	var b bytes.Buffer
	if err := l.WriteModel(&b, &s, origin); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func originOf(p *Plan) checkpoint.Origin {
	return checkpoint.Origin{Job: string(p.Job.Encode()), Data: string(p.Data.Describe())}
}

// The two jobs of a chain, a discrete VAE and a gpt that writes its codes after captions, end at one state each on any ring, interrupted
// or not; and what the second one's checkpoints say of the data is all that drawing needs.
func TestCodesAndCaptionsOnAnyRing(t *testing.T) {
	first, err := assembleJob(fmt.Sprintf(smallDVAE, ""))
	if err != nil {
		t.Fatal(err)
	}
	file := exported(t, first, sameEverywhere(t, first).State(), originOf(first))
	second, err := assembleJob(fmt.Sprintf(smallDALLE, file))
	if err != nil {
		t.Fatal(err)
	}
	again, err := assembleJob(fmt.Sprintf(smallDALLE, file))
	if err != nil || again.Data.Fingerprint != second.Data.Fingerprint {
		t.Errorf("opened twice, the data have two fingerprints (%v)", err)
	}
	sameEverywhere(t, second)
	if in := second.Data.Schema[0]; in.Width() != 2+16 || in.Classes != 2+11+5 {
		t.Fatalf("a sample has %s", &in)
	}
	like, err := codes.OpenLike(second.Job.Data, second.Data.Describe())
	if err != nil || like.Fingerprint != second.Data.Fingerprint {
		t.Errorf("opened for the model, the data are others (%v)", err)
	}
	coder, err := codes.Unpack(second.Data.Captions.Coder())
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := coder.Draw(slices.Repeat([]int32{0, 1, 2, 3, 4, 0, 1, 2}, 4), 2)
	if err != nil || len(pictures) != 2 || pictures[0].Bounds().Dx() != 28 || pictures[0].Bounds().Dy() != 28 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	if grid := codes.Grid(pictures).Bounds(); grid.Dx() != 2+30+30 || grid.Dy() != 2+30 {
		t.Errorf("the grid is %v", grid)
	}
	if _, err := coder.Draw(slices.Repeat([]int32{5}, 16), 1); err == nil || !strings.Contains(err.Error(), "code 5 at place 0: there are 5 codes") {
		t.Errorf("error %v", err)
	}
}

// What data.codes cannot be is told in one line with the key's place.
func TestCodesThatCannotBe(t *testing.T) {
	first, err := assembleJob(fmt.Sprintf(smallDVAE, ""))
	if err != nil {
		t.Fatal(err)
	}
	state := train(t, first, 1, 1, 1, nil, nil)[0].State()
	other := assemble(t, 3, "")
	damaged := filepath.Join(t.TempDir(), "damaged.safetensors")
	whole, err := os.ReadFile(exported(t, first, state, originOf(first)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, whole[:len(whole)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	var otherState checkpoint.State
	train(t, other, 1, 1, 1, nil, nil)[0].Copy(&otherState)
	for name, c := range map[string]struct{ text, want string }{
		"missing":  {fmt.Sprintf(smallDALLE, "/nowhere/run"), "look for checkpoints in /nowhere/run: no such file or directory"},
		"empty":    {fmt.Sprintf(smallDALLE, t.TempDir()), "no whole checkpoint in "},
		"mlp":      {fmt.Sprintf(smallDALLE, exported(t, other, otherState, originOf(other))), "job small is no autoencoder with codes: it makes no codes"},
		"nameless": {fmt.Sprintf(smallDALLE, exported(t, first, state, checkpoint.Origin{})), "it does not say which job its parameters are of"},
		"damaged":  {fmt.Sprintf(smallDALLE, damaged), "damaged"},
		"labels":   {strings.Replace(fmt.Sprintf(smallDALLE, "x"), "codes: ", "caption: no name, codes: ", 1), "data.caption must say where the name of the class stands"},
		"weight":   {strings.Replace(fmt.Sprintf(smallDALLE, "x"), "codes: ", "caption_weight: 1, codes: ", 1), "data.caption_weight must be above 0 and below 1, not 1"},
		"alone":    {"data: {kind: glyphs, caption: 'a {}'}", "data.caption belongs to data.codes"},
		"mlp on":   {strings.Replace(fmt.Sprintf(smallDALLE, "x"), "kind: gpt, depth: 1, heads: 2, width: 12", "kind: mlp", 1), "mlp does not learn from"},
		"bert":     {strings.Replace(fmt.Sprintf(smallDALLE, "x"), "kind: gpt", "kind: bert", 1), "take model.kind: gpt"},
		"balance":  {strings.Replace(fmt.Sprintf(smallDALLE, "x"), "codes: ", "balance: classes, codes: ", 1), "data.codes encodes each picture once"},
	} {
		_, err := assembleJob(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "job.yaml:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
