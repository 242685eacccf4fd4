package golden

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
)

// augmented is a job whose pictures go through every kind of augmentation that pictures without colours have.
const augmented = `
model: {kind: mlp, layers: [784, 10]}
data:
    kind: glyphs
    augment:
        - {kind: crop, padding: 3, mode: symmetric}
        - {kind: resized_crop, scale: [0.4, 1]}
        - {kind: flip}
        - {kind: vertical_flip, p: 0.2}
        - {kind: rotate, degrees: 40}
        - {kind: color, brightness: 0.3, contrast: 0.5}
        - {kind: erase, noise: true}
        - {kind: mixup, alpha: 0.4}
        - {kind: cutmix}
`

// TestGoldenAugmentation hashes what a seat reads in twenty steps.
func TestGoldenAugmentation(t *testing.T) {
	const want = "71deaa914cebccebab3bd8bad703ae2c7f72b99554d20adb68777ec2d12c131e"
	job, err := config.Parse("augmented.yaml", []byte(augmented), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(job.Data)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	var b dataset.Batch
	for step := range 20 {
		if err := data.Train.Read(&b, []int32{0, 7, 300, 2, 1999}, rng.SeatKey(1, uint64(step), 2, 0)); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Columns {
			binary.Write(sum, binary.LittleEndian, c.Floats)
			binary.Write(sum, binary.LittleEndian, c.Ints)
		}
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		t.Errorf("the samples' digest is %s, want %s", got, want)
	}
}
