package config

import "slices"

// Augmentation is one way in which training pictures are changed at random, named and defined as torchvision's transform.
type Augmentation struct {
	Kind string  `yaml:"kind"`
	P    float64 `yaml:"p"` // the probability that it is applied; of mixup and cutmix: to a micro-batch

	Padding int    `yaml:"padding" kinds:"crop"` // pixels around the picture
	Mode    string `yaml:"mode" kinds:"crop"`    // of what the border is made: constant, edge, reflect, symmetric
	Fill    int    `yaml:"fill" kinds:"crop,rotate"`

	Scale []float64 `yaml:"scale" kinds:"resized_crop,erase"` // the least and the largest share of the picture's area
	Ratio []float64 `yaml:"ratio" kinds:"resized_crop,erase"` // the least and the largest ratio of the part's sides

	Degrees float64 `yaml:"degrees" kinds:"rotate"` // the most to either side

	Brightness float64 `yaml:"brightness" kinds:"color"` // the factor is from 1 less this to 1 more
	Contrast   float64 `yaml:"contrast" kinds:"color"`   // likewise
	Saturation float64 `yaml:"saturation" kinds:"color"` // likewise
	Hue        float64 `yaml:"hue" kinds:"color"`        // the most to either side, of the colour circle

	Value []float64 `yaml:"value" kinds:"erase"` // what a part becomes, after mean and std: one for all channels, or one each
	Noise bool      `yaml:"noise" kinds:"erase"` // it becomes noise of mean 0 and deviation 1 instead

	Alpha float64 `yaml:"alpha" kinds:"mixup,cutmix"` // shares are drawn from the distribution Beta(alpha, alpha)
}

// Kinds of augmentation.
const (
	AugmentCrop         = "crop"         // RandomCrop to the same size, with padding
	AugmentResizedCrop  = "resized_crop" // RandomResizedCrop to the same size
	AugmentFlip         = "flip"         // RandomHorizontalFlip
	AugmentVerticalFlip = "vertical_flip"
	AugmentRotate       = "rotate" // RandomRotation, bilinear
	AugmentColor        = "color"  // ColorJitter
	AugmentErase        = "erase"  // RandomErasing
	AugmentMixUp        = "mixup"
	AugmentCutMix       = "cutmix"
)

var augmentKinds = []string{AugmentCrop, AugmentResizedCrop, AugmentFlip, AugmentVerticalFlip, AugmentRotate, AugmentColor, AugmentErase, AugmentMixUp, AugmentCutMix}

// Mixes reports whether pictures of a micro-batch are mixed with each other, and their targets with them.
func (a *Augmentation) Mixes() bool { return a.Kind == AugmentMixUp || a.Kind == AugmentCutMix }

// stage orders the kinds: those that change bytes, then erase, then those that mix.
func (a *Augmentation) stage() int {
	switch {
	case a.Mixes():
		return 2
	case a.Kind == AugmentErase:
		return 1
	}
	return 0
}

// Mixes reports whether targets are mixed in training.
func (d *Data) Mixes() bool {
	return slices.ContainsFunc(d.Augment, func(a Augmentation) bool { return a.Mixes() })
}

func (d *Data) setAugmentDefaults(o *origin) {
	for i := range d.Augment {
		a, at := &d.Augment[i], indexed("data.augment", i)
		p, scale, ratio := 1.0, []float64{0.08, 1}, []float64{0.75, 4.0 / 3}
		switch a.Kind {
		case AugmentFlip, AugmentVerticalFlip:
			p = 0.5
		case AugmentErase:
			p, scale, ratio = 0.5, []float64{0.02, 0.33}, []float64{0.3, 3.3}
		}
		def(o, at+".p", &a.P, p)
		def(o, at+".mode", &a.Mode, borderModes[0])
		def(o, at+".scale", &a.Scale, scale)
		def(o, at+".ratio", &a.Ratio, ratio)
		def(o, at+".value", &a.Value, []float64{0})
		def(o, at+".alpha", &a.Alpha, 1)
	}
}

var borderModes = []string{"constant", "edge", "reflect", "symmetric"}

func (d *Data) validateAugment(c *checker) {
	const most = 32
	c.require("data.augment", len(d.Augment) <= most, "data.augment lists %d entries, more than the %d that there may be", len(d.Augment), most)
	c.require("data.augment", len(d.Augment) == 0 || d.Crop == 0 && !d.Flip,
		"data.augment does not go with data.crop and data.flip; list them in it, as {kind: crop, padding: 4} and {kind: flip}")
	c.require("data.augment", len(d.Augment) == 0 || d.Kind != DataWebDataset || d.Image != "", "data.augment changes pictures, which shards with data.image: \"\" do not have; leave it out")
	last := &Augmentation{} // the one that must come latest so far
	for i := range d.Augment {
		a, at := &d.Augment[i], indexed("data.augment", i)
		if !c.present(at+".kind", "say how pictures are changed, like kind: flip") || !c.oneOf(at+".kind", a.Kind, augmentKinds) {
			continue
		}
		c.require(at+".kind", a.stage() >= last.stage(), "%s: %s must come before %s: list erase behind the kinds that change bytes, and mixup and cutmix last", at, a.Kind, last.Kind)
		if a.stage() > last.stage() {
			last = a
		}
		between(c, at+".p", a.P, 0, 1)
		a.validate(c, at, d.Kind == DataGlyphs || d.Kind == DataMNIST)
	}
}

// validate checks the keys of the kind. grey: pictures have one channel.
func (a *Augmentation) validate(c *checker, at string, grey bool) {
	switch a.Kind {
	case AugmentCrop:
		if c.present(at+".padding", "say by how many pixels the picture is padded, like padding: 4") {
			between(c, at+".padding", a.Padding, 1, 1<<10)
		}
		c.oneOf(at+".mode", a.Mode, borderModes)
		between(c, at+".fill", a.Fill, 0, 255)
	case AugmentResizedCrop:
		a.validateParts(c, at, 0.001)
	case AugmentRotate:
		if c.present(at+".degrees", "say by how many degrees at most, like degrees: 15") {
			positive(c, at+".degrees", a.Degrees, 180)
		}
		between(c, at+".fill", a.Fill, 0, 255)
	case AugmentColor:
		a.validateColor(c, at, grey)
	case AugmentErase:
		a.validateParts(c, at, 0)
		a.validateValue(c, at, grey)
	case AugmentMixUp, AugmentCutMix:
		c.require(at+".alpha", a.Alpha >= 0.01 && a.Alpha <= 100, "%s.alpha must be from 0.01 to 100, not %v", at, a.Alpha)
	}
}

// validateParts checks the bounds on a part of a picture.
func (a *Augmentation) validateParts(c *checker, at string, least float64) {
	c.require(at+".scale", isRange(a.Scale, least, 1), "%s.scale must be two shares of the area from %v to 1, the smaller one first, like [0.08, 1]", at, least)
	c.require(at+".ratio", isRange(a.Ratio, 0.01, 100), "%s.ratio must be two ratios from 0.01 to 100, the smaller one first, like [0.75, 1.33]", at)
}

func isRange(v []float64, low, high float64) bool {
	return len(v) == 2 && v[0] >= low && v[0] <= v[1] && v[1] <= high
}

func (a *Augmentation) validateColor(c *checker, at string, grey bool) {
	between(c, at+".brightness", a.Brightness, 0, 100)
	between(c, at+".contrast", a.Contrast, 0, 100)
	between(c, at+".saturation", a.Saturation, 0, 100)
	between(c, at+".hue", a.Hue, 0, 0.5)
	c.require(at+".saturation", a.Saturation == 0 || !grey, "%s.saturation: the pictures have no colours; leave it out", at)
	c.require(at+".hue", a.Hue == 0 || !grey, "%s.hue: the pictures have no colours; leave it out", at)
	c.require(at, a.Brightness != 0 || a.Contrast != 0 || a.Saturation != 0 || a.Hue != 0,
		"%s: color changes nothing; set brightness, contrast, saturation or hue, like brightness: 0.4", at)
}

func (a *Augmentation) validateValue(c *checker, at string, grey bool) {
	ok := len(a.Value) == 1 || len(a.Value) == 3 && !grey
	c.require(at+".value", ok, "%s.value must list one value, or one for each of the channels, not %d", at, len(a.Value))
	for i, v := range a.Value {
		between(c, indexed(at+".value", i), v, -1000, 1000)
	}
	c.require(at+".noise", !a.Noise || !c.b.origin.written(at+".value"), "%s: noise takes the place of value; leave one of them out", at)
}
