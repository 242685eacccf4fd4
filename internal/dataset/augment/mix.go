package augment

import (
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/elementary"
	"ringmaster/internal/rng"
)

// Mixer is torchvision's MixUp, CutMix, or a choice of both: each picture of a micro-batch is mixed with the one before it, the first with the
// last. It is immutable.
type Mixer struct {
	size    Size
	mixings []config.Augmentation // one is drawn for a micro-batch
}

// NewMixer is the mixer of the entries of data.augment that mix, for pictures of a size; nil where there are none.
func NewMixer(entries []config.Augmentation, size Size) *Mixer {
	m := &Mixer{size: size}
	for _, c := range entries {
		if c.Mixes() {
			m.mixings = append(m.mixings, c)
		}
	}
	if len(m.mixings) == 0 {
		return nil
	}
	return m
}

// Mix mixes n pictures of numbers where they are, as the key draws. spare is room for a picture. It gives the share that each
// picture keeps of itself; 1 where nothing was mixed.
func (m *Mixer) Mix(values []float32, n int, spare []float32, key rng.Key) (share float64) {
	c := &m.mixings[key.Below(pairFirst, uint64(len(m.mixings)))]
	if n < 2 || c.P < 1 && float64(key.Float32(elementApply)) >= c.P {
		return 1
	}
	share = beta(c.Alpha, key.Uint32(elementFirst), key.Uint32(elementFirst+1))
	part := box{}
	if c.Kind == config.AugmentCutMix {
		middleY, middleX := int(key.Below(pairFirst+1, uint64(m.size.Rows))), int(key.Below(pairFirst+2, uint64(m.size.Columns)))
		part = m.size.cut(share, middleY, middleX)
		share = 1 - float64(part.rows*part.columns)/float64(m.size.Plane())
	}
	if c.Kind == config.AugmentCutMix {
		m.size.cutMix(values, n, spare, part)
	} else {
		MixUp(values, n, spare, share)
	}
	return share
}

// MixUp makes each of n samples share of itself and the rest of the one before it; of the first, the last. spare is room for a sample.
func MixUp(values []float32, n int, spare []float32, share float64) {
	own, rest := float32(share), float32(1-share)
	width := len(values) / n
	copy(spare[:width], values[(n-1)*width:])
	for j := n - 1; j >= 0; j-- {
		dst, other := values[j*width:(j+1)*width], before(values, spare, j, width)
		for i, v := range dst {
			dst[i] = float32(other[i]*rest) + float32(v*own)
		}
	}
}

// before is the sample before sample j, where the last is in spare.
func before(values, spare []float32, j, width int) []float32 {
	if j == 0 {
		return spare[:width]
	}
	return values[(j-1)*width : j*width]
}

// cutMix makes a part of each of n pictures that of the one before it.
func (s Size) cutMix(values []float32, n int, spare []float32, part box) {
	width := s.Bytes()
	copy(spare[:width], values[(n-1)*width:n*width])
	for j := n - 1; j >= 0; j-- {
		s.paste(values[j*width:(j+1)*width], before(values, spare, j, width), part)
	}
}

// cut is the part around a place that leaves about a share of the picture.
func (s Size) cut(share float64, middleY, middleX int) box {
	r := 0.5 * math.Sqrt(1-share)
	halfX, halfY := int(r*float64(s.Columns)), int(r*float64(s.Rows))
	left, top := max(middleX-halfX, 0), max(middleY-halfY, 0)
	return box{top, left, min(middleY+halfY, s.Rows) - top, min(middleX+halfX, s.Columns) - left}
}

// paste makes a part of dst that of other.
func (s Size) paste(dst, other []float32, part box) {
	for c := range s.Channels {
		for y := range part.rows {
			at := c*s.Plane() + (part.top+y)*s.Columns + part.left
			copy(dst[at:at+part.columns], other[at:at+part.columns])
		}
	}
}

// beta is a draw from the distribution Beta(alpha, alpha) made of two words: 1/2 + T / (2 sqrt(2 alpha + T^2)), where T has Student's
// distribution with 2 alpha degrees of freedom and is made by Bailey's polar formula (Mathematics of Computation 62, 1994).
func beta(alpha float64, angle, radius uint32) float64 {
	// cosine of an angle between 0 and pi: the other half of the circle has the same
	c := elementary.CosPi((float64(angle) + 0.5) * 0x1p-32)
	p := elementary.Exp(elementary.Log((float64(radius)+0.5)*0x1p-32) / alpha) // U^(1/alpha)
	return 0.5 + 0.5*c/math.Sqrt(p/(1-p)+float64(c*c))
}
