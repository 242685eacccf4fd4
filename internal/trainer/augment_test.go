package trainer

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// assembleAugmented is a job on the picture folder with entries of data.augment.
func assembleAugmented(t *testing.T, dir, augment string) (*Plan, error) {
	t.Helper()
	job, err := config.Parse("augmented.yaml", []byte(fmt.Sprintf(`
seats: 4
model: {kind: mlp, layers: [90, 8, 2]}
data: {kind: images, dir: %q, augment: %s}
train: {steps: 9, batch_per_seat: 2, optimizer: {kind: adam, lr: 0.01}}
`, dir, augment)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Assemble(job)
}

// Augmented pictures and mixed targets are the same on any ring and after any resume; the evaluation does not know them.
func TestAugmentationOnAnyRing(t *testing.T) {
	dir := pictureFolder(t)
	ends := map[string]string{}
	for _, augment := range []string{
		"[{kind: crop, padding: 1}, {kind: flip}]",
		"[{kind: resized_crop}, {kind: rotate, degrees: 30}, {kind: color, brightness: 0.4, hue: 0.2}, {kind: erase, p: 1}, {kind: mixup}, {kind: cutmix}]",
		"[{kind: vertical_flip}], balance: classes",
	} {
		p, err := assembleAugmented(t, dir, augment)
		if err != nil {
			t.Fatal(err)
		}
		if p.Data.Train.Resident() || p.PerPass != 3 {
			t.Errorf("read ahead: %v, %d steps an epoch", !p.Data.Train.Resident(), p.PerPass)
		}
		var losses []float64
		train(t, p, 1, 1, 1, nil, nil, func(r *Run) {
			r.OnEpoch = func(e EpochEnd) { losses = append(losses, e.TrainLoss, e.Eval.Loss) }
		})
		for _, loss := range losses {
			if !(loss > 0) || math.IsInf(loss, 0) {
				t.Errorf("losses %v", losses)
			}
		}
		end := digestOf(sameEverywhere(t, p))
		if other, same := ends[end]; same {
			t.Errorf("%s and %s end at one state", augment, other)
		}
		ends[end] = augment
	}
}

// A job whose model compares with something that cannot be mixed is refused before it starts.
func TestMixingRefused(t *testing.T) {
	dir := pictureFolder(t)
	job, err := config.Parse("augmented.yaml", []byte(fmt.Sprintf(`
model: {kind: mlp, layers: [90, 8, 2]}
data: {kind: images, dir: %q, augment: [{kind: mixup}]}
train: {steps: 9, class_weights: [1, 2]}
`, dir)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Assemble(job); err == nil || !strings.Contains(err.Error(), "train.class_weights: they do not go with classes that data.augment mixes") {
		t.Error(err)
	}
}
