package augment

import (
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/elementary"
	"ringmaster/internal/rng"
)

// Operation changes a picture of bytes. It is immutable.
type Operation interface {
	// Apply makes dst of src, as the key draws. It reports whether it did: else src is to be taken as it is. spare is room for a picture.
	Apply(dst, src, spare []byte, key rng.Key) bool
}

// New is the operation of an entry of data.augment for pictures of a size; nil for those that change no bytes: erase, mixup and cutmix.
func New(c config.Augmentation, size Size) Operation {
	o := chance{size: size, config: c}
	switch c.Kind {
	case config.AugmentCrop:
		return &crop{o}
	case config.AugmentResizedCrop:
		return &resizedCrop{o}
	case config.AugmentFlip, config.AugmentVerticalFlip:
		return &flip{o}
	case config.AugmentRotate:
		return &rotation{o}
	case config.AugmentColor:
		return &colour{o}
	}
	return nil
}

// chance is what operations have in common.
type chance struct {
	size   Size
	config config.Augmentation
}

// The elements of a key's stream. Each operation has a key of its own, in which these are what is drawn.
const (
	elementApply = 0 // whether the operation is applied
	elementFirst = 1 // numbers
	pairFirst    = 4 // whole numbers: pair i is elements 2i and 2i+1
	pairTries    = 8 // the tries of a part: tryPairs pairs each
)

// applied reports whether the operation is applied to the sample with that key.
func (o *chance) applied(key rng.Key) bool {
	return o.config.P == 1 || float64(key.Float32(elementApply)) < o.config.P
}

// crop is torchvision's RandomCrop to the picture's own size, with padding.
type crop struct{ chance }

// Apply implements Operation.
func (o *crop) Apply(dst, src, _ []byte, key rng.Key) bool {
	if !o.applied(key) {
		return false
	}
	span := uint64(2*o.config.Padding + 1)
	down := int(key.Below(pairFirst, span)) - o.config.Padding
	right := int(key.Below(pairFirst+1, span)) - o.config.Padding
	if down == 0 && right == 0 {
		return false
	}
	o.size.shift(dst, src, down, right, o.config.Mode, byte(o.config.Fill))
	return true
}

// resizedCrop is torchvision's RandomResizedCrop to the picture's own size.
type resizedCrop struct{ chance }

// Apply implements Operation.
func (o *resizedCrop) Apply(dst, src, spare []byte, key rng.Key) bool {
	if !o.applied(key) {
		return false
	}
	part := o.part(key)
	if part == (box{0, 0, o.size.Rows, o.size.Columns}) {
		return false
	}
	o.size.enlarge(dst, src, spare, part)
	return true
}

// part draws which part of a picture is taken, by RandomResizedCrop's get_params.
func (o *resizedCrop) part(key rng.Key) box {
	s := o.size
	for try := range maxTries {
		columns, rows := tried(key, try, s, o.config.Scale, o.config.Ratio)
		if rows > 0 && rows <= s.Rows && columns > 0 && columns <= s.Columns {
			return placed(key, try, s, rows, columns)
		}
	}
	rows, columns := s.Rows, s.Columns
	switch in := float64(s.Columns) / float64(s.Rows); {
	case in < o.config.Ratio[0]:
		rows = nearest(float64(columns) / o.config.Ratio[0])
	case in > o.config.Ratio[1]:
		columns = nearest(float64(rows) * o.config.Ratio[1])
	}
	return box{(s.Rows - rows) / 2, (s.Columns - columns) / 2, rows, columns}
}

// Parts are drawn up to maxTries times until one fits, with tryPairs pairs of elements each time.
const (
	maxTries = 10
	tryPairs = 4
)

// tried draws the sides of a part with a share of the area and a ratio of the first side to the second, even in its logarithm.
func tried(key rng.Key, try int, s Size, scale, ratio []float64) (first, second int) {
	at := uint64(2 * (pairTries + tryPairs*try))
	area := float64(s.Plane()) * float64(key.Uniform(at, float32(scale[0]), float32(scale[1])))
	low, high := float32(elementary.Log(ratio[0])), float32(elementary.Log(ratio[1]))
	aspect := elementary.Exp(float64(key.Uniform(at+1, low, high)))
	return nearest(math.Sqrt(float64(area * aspect))), nearest(math.Sqrt(area / aspect))
}

// placed draws where a part is.
func placed(key rng.Key, try int, s Size, rows, columns int) box {
	pair := uint64(pairTries + tryPairs*try + 1)
	return box{int(key.Below(pair, uint64(s.Rows-rows+1))), int(key.Below(pair+1, uint64(s.Columns-columns+1))), rows, columns}
}

// nearest is the whole number nearest to x, the even one of two, as Python's round.
func nearest(x float64) int {
	whole := math.Floor(x)
	rest := x - whole
	n := int(whole)
	if rest > 0.5 || rest == 0.5 && n%2 == 1 {
		n++
	}
	return n
}

// flip is torchvision's RandomHorizontalFlip or RandomVerticalFlip.
type flip struct{ chance }

// Apply implements Operation.
func (o *flip) Apply(dst, src, _ []byte, key rng.Key) bool {
	switch {
	case !o.applied(key):
		return false
	case o.config.Kind == config.AugmentFlip:
		o.size.mirror(dst, src)
	default:
		o.size.turnOver(dst, src)
	}
	return true
}

// rotation is torchvision's RandomRotation with bilinear interpolation.
type rotation struct{ chance }

// Apply implements Operation.
func (o *rotation) Apply(dst, src, _ []byte, key rng.Key) bool {
	if !o.applied(key) {
		return false
	}
	by := float32(o.config.Degrees)
	o.size.rotate(dst, src, float64(key.Uniform(elementFirst, -by, by)), byte(o.config.Fill))
	return true
}

// colour is torchvision's ColorJitter.
type colour struct{ chance }

// Apply implements Operation.
func (o *colour) Apply(dst, src, _ []byte, key rng.Key) bool {
	if !o.applied(key) {
		return false
	}
	copy(dst, src[:o.size.Bytes()])
	order := [4]int{0, 1, 2, 3}
	for i := range 3 { // a random order, as torchvision has it
		k := i + int(key.Below(pairFirst+uint64(i), uint64(4-i)))
		order[i], order[k] = order[k], order[i]
	}
	for _, kind := range order {
		o.adjust(dst, kind, key)
	}
	return true
}

// adjust does one of the four adjustments.
func (o *colour) adjust(pix []byte, kind int, key rng.Key) {
	amount := [4]float64{o.config.Brightness, o.config.Contrast, o.config.Saturation, o.config.Hue}[kind]
	if amount == 0 {
		return
	}
	low, high := float32(max(0, 1-amount)), float32(1+amount)
	if kind == 3 {
		low, high = float32(-amount), float32(amount)
	}
	factor := key.Uniform(elementFirst+uint64(kind), low, high)
	switch kind {
	case 0:
		o.size.brighten(pix, factor)
	case 1:
		o.size.contrast(pix, factor)
	case 2:
		o.size.saturate(pix, factor)
	default:
		o.size.turnHue(pix, float64(factor))
	}
}
