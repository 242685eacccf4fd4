package glyphs

import "ringmaster/internal/rng"

// Numbers with a fraction are integers in units of 2^-16.
const one = 1 << 16

// The ranges of the distortions, each drawn evenly between minus and plus the bound, or between two ends.
const (
	maxAngle  = one * 32 / 100 // radians of rotation
	maxShear  = one * 30 / 100 // sideways, for each row
	minZoom   = one * 95 / 100 // of the inverse scale: 1/1.05 ...
	maxZoom   = one * 140 / 100
	maxMove   = one * 17 / 8    // pixels of translation
	maxBend   = one * 18 / 1000 // pixels sideways for each square pixel from the middle
	minWeight = -12             // steps of a master added to its outline: lighter ...
	maxWeight = 22              // ... heavier strokes
	minInk    = 112             // value of full ink
	maxInk    = 255
	minNoise  = 28 // of the noise added to each pixel, from the lowest to the highest
	maxNoise  = 141
)

// distortion is one draw of all of them, ready for use.
type distortion struct {
	xx, xy, yx, yy int64 // the inverse map: master pixels for each pixel of the picture
	moveX, moveY   int64 // master pixels of the picture's middle from the master's
	bendX, bendY   int64 // master pixels for each square pixel
	weight         int   // added to the field
	gain           int   // values for each 1/16 step of the field beyond the outline
	ink            int   // value of full ink
	noise          int   // amplitude
}

// draws hands out the words of a key's stream one after another.
type draws struct {
	key   rng.Key
	block [4]uint32
	next  uint64
}

func (d *draws) word() uint32 {
	if d.next%4 == 0 {
		d.block = d.key.Block(d.next / 4)
	}
	d.next++
	return d.block[(d.next-1)%4]
}

// between is a number from low to high, both included.
func (d *draws) between(low, high int64) int64 {
	return low + int64(uint64(d.word())*uint64(high-low+1)>>32)
}

// times multiplies two numbers with fractions, rounding down.
func times(a, b int64) int64 { return a * b >> 16 }

// sample draws one picture into dst, Side x Side, and returns its digit.
func (m *masters) sample(dst []byte, key rng.Key) uint8 {
	d := draws{key: key}
	digit := d.between(0, 9)
	field := m.fields[d.between(0, int64(m.faces)-1)*10+digit]
	shape := drawDistortion(&d)
	shape.render(dst, field)
	shape.addNoise(dst, &d)
	return uint8(digit)
}

func drawDistortion(d *draws) distortion {
	angle := d.between(-maxAngle, maxAngle)
	shear := d.between(-maxShear, maxShear)
	zoomX, zoomY := d.between(minZoom, maxZoom), d.between(minZoom, maxZoom)
	moveX, moveY := d.between(-maxMove, maxMove), d.between(-maxMove, maxMove)
	// Sine and cosine of small angles by their series: off by less than 10^-4 here, and nobody minds.
	square := times(angle, angle)
	sine := angle - times(angle, square)/6
	cosine := one - square/2 + times(square, square)/24
	// Picture to master: move the middle, rotate, shear, zoom; and a master's pixel is half one of the picture.
	s := distortion{
		xx: 2 * times(zoomX, cosine+times(shear, sine)), xy: 2 * times(zoomX, times(shear, cosine)-sine),
		yx: 2 * times(zoomY, sine), yy: 2 * times(zoomY, cosine),
		bendX: 2 * d.between(-maxBend, maxBend), bendY: 2 * d.between(-maxBend, maxBend),
		weight: int(d.between(minWeight, maxWeight)),
		gain:   int(d.between(56, 128)),
		ink:    int(d.between(minInk, maxInk)),
		noise:  int(d.between(minNoise, maxNoise)),
	}
	s.moveX = -times(s.xx, moveX) - times(s.xy, moveY)
	s.moveY = -times(s.yx, moveX) - times(s.yy, moveY)
	return s
}

// render samples the field for every pixel of the picture and turns distance into ink.
func (s *distortion) render(dst []byte, field *[stride * stride]uint32) {
	ramp := s.ramp()
	const middle = one * (Side - 1) / 2
	var sag [Side]int64 // of a column: how far the bend moves it up or down
	for x := range sag {
		across := int64(x)*one - middle
		sag[x] = times(s.bendY, times(across, across))
	}
	for y := range Side {
		down := int64(y)*one - middle
		// The middle of the master is between its pixels Edge/2-1 and Edge/2; the border adds one.
		u := s.moveX + times(s.xy, down) + times(s.bendX, times(down, down)) - times(s.xx, middle) + (Edge+1)*one/2
		v := s.moveY + times(s.yy, down) - times(s.yx, middle) + (Edge+1)*one/2
		s.sampleRow((*[Side]byte)(dst[y*Side:]), &sag, u, v, field, &ramp)
	}
}

// ramp maps a field's value to ink: 0 well outside of the outline, the ink's value well inside, and a slope between.
func (s *distortion) ramp() (ramp [256]byte) {
	coverage := 16*128 + (s.weight-128)*s.gain // in 16ths
	for v := range ramp {
		switch {
		case coverage >= 16*255:
			ramp[v] = byte(s.ink)
		case coverage > 0:
			ramp[v] = byte(coverage / 16 * s.ink / 255)
		}
		coverage += s.gain
	}
	return ramp
}

// sampleRow sets each element of the row to the ink that the ramp gives for the field's value at (u, v + sag), from
// where u and v go on by a pixel. The value is interpolated between the four pixels around the point, in 256ths;
// beyond the field the border goes on. Two products at a time are made in the halves of a word: they stay below 2^16.
func (s *distortion) sampleRow(row *[Side]byte, sag *[Side]int64, u, v int64, field *[stride * stride]uint32, ramp *[256]byte) {
	const last = (stride-1)*one - 1
	for i := range row {
		x, y := min(max(u, 0), last), min(max(v+sag[i], 0), last)
		quad := field[y>>16*stride+x>>16]
		fx, fy := uint32(x>>8&0xff), uint32(y>>8&0xff)
		columns := (quad&0xff00ff)*(256-fx) + (quad>>8&0xff00ff)*fx // lower half: upper row; upper half: lower row
		row[i] = ramp[byte((columns&0xffff*(256-fy)+columns>>16*fy)>>16)]
		u += s.xx
		v += s.yx
	}
}

// addNoise adds to every pixel a number drawn evenly from half the noise's amplitude below to half above. A word of the
// stream serves four pixels, its low byte the first.
func (s *distortion) addNoise(dst []byte, d *draws) {
	at := (d.next + 3) / 4 // the first block of which nothing is used
	for ; len(dst) >= 16; at++ {
		for i, word := range d.key.Block(at) {
			four := dst[4*i : 4*i+4]
			four[0] = disturb(four[0], word, s.noise)
			four[1] = disturb(four[1], word>>8, s.noise)
			four[2] = disturb(four[2], word>>16, s.noise)
			four[3] = disturb(four[3], word>>24, s.noise)
		}
		dst = dst[16:]
	}
}

func disturb(value byte, draw uint32, amplitude int) byte {
	noise := (int(draw&0xff) - 128) * amplitude >> 8
	return byte(min(max(int(value)+noise, 0), 255))
}
