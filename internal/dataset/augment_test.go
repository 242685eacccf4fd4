package dataset

import (
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// augmented makes a set of four pictures of noise, 12 x 10, of four classes, with entries of data.augment.
func augmented(t *testing.T, entries ...config.Augmentation) *Data {
	t.Helper()
	const rows, columns = 12, 10
	p := &pictures{schema: pictureSchema([]int{rows, columns}, 4, nil), width: rows * columns, values: make([]byte, 4*rows*columns), labels: []int32{0, 1, 2, 3}}
	for i := range p.values {
		p.values[i] = byte(rng.NewKey(1).Uint32(uint64(i)) % 200)
	}
	d := &Data{pixels: greyPixels(rows, columns)}
	d.pixels.entries = entries
	if err := d.sets(p, p, d.pixels.transforms()...); err != nil {
		t.Fatal(err)
	}
	return d
}

var everyKind = []config.Augmentation{
	{Kind: config.AugmentCrop, P: 1, Padding: 1, Mode: "edge"}, {Kind: config.AugmentResizedCrop, P: 1, Scale: []float64{0.3, 1}, Ratio: []float64{0.5, 2}},
	{Kind: config.AugmentFlip, P: 0.5}, {Kind: config.AugmentVerticalFlip, P: 0.5}, {Kind: config.AugmentRotate, P: 1, Degrees: 90},
	{Kind: config.AugmentColor, P: 1, Brightness: 0.5, Contrast: 0.5}, {Kind: config.AugmentErase, P: 1, Scale: []float64{0.1, 0.4}, Ratio: []float64{0.5, 2}, Value: []float64{-2}},
	{Kind: config.AugmentMixUp, P: 1, Alpha: 0.5}, {Kind: config.AugmentCutMix, P: 1, Alpha: 1},
}

// Every entry changes training pictures, and leaves those of the evaluation, those of the zero key and the data's fingerprint alone. What a
// sample becomes does not depend on what was read before.
func TestAugmentKinds(t *testing.T) {
	plain := augmented(t)
	key := rng.SeatKey(1, 2, 3, 0)
	indices := []int32{2, 0, 1, 3, 0, 0}
	var want, got, again Batch
	plain.Train.Read(&want, indices, rng.Key{})
	for _, entry := range everyKind {
		d := augmented(t, entry)
		if d.Fingerprint != plain.Fingerprint {
			t.Errorf("%s shows in the fingerprint of the data", entry.Kind)
		}
		d.Train.Read(&got, indices, rng.Key{})
		if !slices.Equal(got.values(), want.values()) {
			t.Errorf("%s: the zero key does not leave pictures as they are", entry.Kind)
		}
		d.Train.Read(&got, indices, key)
		if slices.Equal(got.values(), want.values()) {
			t.Errorf("%s changes nothing", entry.Kind)
		}
		d.Train.Read(&again, indices[:3], rng.SeatKey(9, 9, 9, 9))
		d.Train.Read(&again, indices, key)
		if !slices.Equal(got.values(), again.values()) {
			t.Errorf("%s: the same key draws otherwise", entry.Kind)
		}
		d.Eval.Read(&got, []int32{0, 1}, key)
		plain.Eval.Read(&again, []int32{0, 1}, rng.Key{})
		if !slices.Equal(got.values(), again.values()) {
			t.Errorf("%s: evaluation pictures are changed", entry.Kind)
		}
		if mixes := entry.Mixes(); mixes == (len(d.Schema.Of(Second)) == 0) || mixes == (len(d.Schema.Of(Share)) == 0) {
			t.Errorf("%s: fields %v", entry.Kind, d.Schema)
		}
	}
}

// The order of entries counts: each sees what the one before it has made.
func TestAugmentEntriesFollowEachOther(t *testing.T) {
	erased := everyKind[6]
	turned := config.Augmentation{Kind: config.AugmentVerticalFlip, P: 1}
	brighter := config.Augmentation{Kind: config.AugmentColor, P: 1, Brightness: 0.5}
	key, indices := rng.NewKey(5), []int32{0, 1, 2, 3}
	var one, two Batch
	augmented(t, turned, brighter, erased).Train.Read(&one, indices, key)
	augmented(t, brighter, turned, erased).Train.Read(&two, indices, key)
	if slices.Equal(one.values(), two.values()) {
		t.Error("entries draw without regard to their place")
	}
	count := 0
	for _, v := range one.values() {
		if v == -2 {
			count++
		}
	}
	if count == 0 || count > len(one.values())/2 {
		t.Errorf("%d of %d values are erased", count, len(one.values()))
	}
}

// MixUp gives each sample the class of the one before it, with the share that the pictures have.
func TestMixedTargets(t *testing.T) {
	d := augmented(t, config.Augmentation{Kind: config.AugmentMixUp, P: 1, Alpha: 1})
	plain := augmented(t)
	var b, as Batch
	indices := []int32{0, 1, 2, 3}
	turned := 0
	for seed := range uint64(50) {
		d.Train.Read(&b, indices, rng.NewKey(seed))
		plain.Train.Read(&as, indices, rng.Key{})
		label, second, share := b.Columns[1].Ints, b.Columns[2].Ints, b.Columns[3].Floats
		for j := range indices {
			own, other := as.Columns[1].Ints[j], as.Columns[1].Ints[(j+3)%4]
			part := share[j]
			if label[j] != own || second[j] != other {
				label[j], second[j], part = second[j], label[j], 1-part
				turned++
			}
			if label[j] != own || second[j] != other || share[j] < 0.5 {
				t.Fatalf("sample %d of classes %d and %d has %d and %d, share %v", j, own, other, b.Columns[1].Ints[j], second[j], share[j])
			}
			width := len(as.values()) / 4
			for i := range width {
				x, before := as.values()[j*width+i], as.values()[(j+3)%4*width+i]
				if want := x*part + before*(1-part); !(b.values()[j*width+i]-want < 1e-6 && want-b.values()[j*width+i] < 1e-6) {
					t.Fatalf("pixel %d of sample %d is %v, want %v", i, j, b.values()[j*width+i], want)
				}
			}
		}
	}
	if turned < 50 || turned > 150 {
		t.Errorf("the second class has the larger share in %d of 200", turned)
	}
	d.Train.Read(&b, indices[:1], rng.NewKey(1))
	if plain.Train.Read(&as, indices[:1], rng.Key{}); b.Columns[3].Floats[0] != 1 || !slices.Equal(b.values(), as.values()) {
		t.Error("a single sample is mixed")
	}
}

// Augmentation is read ahead even where the pictures are in memory, and allocates nothing.
func TestAugmentIsReadAheadAndAllocatesNothing(t *testing.T) {
	if augmented(t).Train.Resident() == augmented(t, everyKind[2]).Train.Resident() {
		t.Error("augmentation is not read ahead")
	}
	d := augmented(t, everyKind...)
	var b Batch
	indices := []int32{0, 1, 2, 3}
	d.Train.Read(&b, indices, rng.NewKey(1))
	step := uint64(0)
	if n := testing.AllocsPerRun(100, func() { step++; d.Train.Read(&b, indices, rng.NewKey(step)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMixingNeedsATargetThatCanBeMixed(t *testing.T) {
	m := &mixture{}
	schema := Schema{{Name: pixelsField, Type: Float32, Role: Input, Shape: []int{4}}}
	for want, target := range map[string]Schema{
		"data.augment: mixup and cutmix mix the target too, but the data has no target":                                  nil,
		"data.augment: mixup and cutmix mix classes or numbers, but the target is next: int32 16, 65 classes":            {{Name: "next", Type: Int32, Role: Target, Shape: []int{16}, Classes: 65}},
		"data.augment: mixup and cutmix mix the target too, but the data has 2 targets (a, b) where there should be one": {{Name: "a", Role: Target}, {Name: "b", Role: Target}},
	} {
		if _, _, err := m.Fields(append(slices.Clone(schema), target...)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, makes, err := m.Fields(append(slices.Clone(schema), Field{Name: "age", Type: Float32, Role: Target})); err != nil || makes != nil {
		t.Errorf("a target of numbers: %v, %v", makes, err)
	}
}
