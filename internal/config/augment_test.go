package config

import "math/rand/v2"

// randomAugment gives a random job entries of data.augment, or data.crop and data.flip.
func randomAugment(r *rand.Rand, d *Data) {
	all := []Augmentation{
		{Kind: AugmentCrop, P: r.Float64(), Padding: 1 + r.IntN(9), Mode: "reflect", Fill: r.IntN(256)},
		{Kind: AugmentResizedCrop, P: 1, Scale: []float64{0.1 + r.Float64()/2, 1}, Ratio: []float64{0.5, 2}},
		{Kind: AugmentColor, P: r.Float64(), Brightness: 1 + r.Float64(), Contrast: r.Float64()},
		{Kind: AugmentErase, P: 0.5, Scale: []float64{0.02, 0.3}, Ratio: []float64{0.3, 3}, Value: []float64{-r.Float64()}},
	}
	if r.IntN(2) > 0 {
		d.Augment = all[r.IntN(4):]
		return
	}
	d.Crop, d.Flip = r.IntN(9), r.IntN(2) > 0
}
