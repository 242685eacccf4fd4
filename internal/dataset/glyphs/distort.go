package glyphs

import "ringmaster/internal/rng"

// Numbers with a fraction are integers in units of 2^-16.
const one = 1 << 16

// The ranges of the distortions, each drawn evenly between minus and plus the bound, or between two ends.
const (
	maxAngle  = one * 38 / 100 // radians of rotation
	maxShear  = one * 35 / 100 // sideways, for each row
	minZoom   = one * 95 / 100 // of the inverse scale: 1/1.05 ...
	maxZoom   = one * 150 / 100
	maxMove   = one * 5 / 2     // pixels of translation
	maxBend   = one * 22 / 1000 // pixels sideways for each square pixel from the middle
	minWeight = -12             // steps of a master added to its outline: lighter ...
	maxWeight = 22              // ... heavier strokes
	minInk    = 110             // value of full ink
	maxInk    = 255
	minNoise  = 20 // amplitude of the noise added to each pixel
	maxNoise  = 110
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
func (s *distortion) render(dst []byte, field []byte) {
	ramp := s.ramp()
	const middle = one * (Side - 1) / 2
	var sag [Side]int64 // of a column: how far the bend moves it up or down
	for x := range sag {
		across := int64(x)*one - middle
		sag[x] = times(s.bendY, times(across, across))
	}
	for y := range Side {
		down := int64(y)*one - middle
		// The middle of the master lies between its pixels Edge/2-1 and Edge/2; the border adds one.
		u := s.moveX + times(s.xy, down) + times(s.bendX, times(down, down)) - times(s.xx, middle) + (Edge+1)*one/2
		v := s.moveY + times(s.yy, down) - times(s.yx, middle) + (Edge+1)*one/2
		row := dst[y*Side : (y+1)*Side]
		for x := range row {
			row[x] = ramp[interpolate(field, u, v+sag[x])]
			u += s.xx
			v += s.yx
		}
	}
}

// ramp maps a field's value to ink: 0 well outside of the outline, the ink's value well inside, and a slope between.
func (s *distortion) ramp() (ramp [256]byte) {
	for v := range ramp {
		coverage := 128 + (v-128+s.weight)*s.gain/16
		coverage = min(max(coverage, 0), 255)
		ramp[v] = byte(coverage * s.ink / 255)
	}
	return ramp
}

// interpolate is the field's value at (u, v), between the four pixels around it by their distances in 256ths. Beyond
// the border there is background.
func interpolate(field []byte, u, v int64) byte {
	x, y := u>>16, v>>16
	if uint64(x) >= stride-1 || uint64(y) >= stride-1 {
		return 0
	}
	fx, fy := int(u>>8&0xff), int(v>>8&0xff)
	upper := field[y*stride+x : y*stride+x+stride+2]
	top := int(upper[0])*(256-fx) + int(upper[1])*fx
	bottom := int(upper[stride])*(256-fx) + int(upper[stride+1])*fx
	return byte((top*(256-fy) + bottom*fy) >> 16)
}

// addNoise adds to every pixel a number drawn from a triangle of the noise's amplitude: the difference of two bytes.
// A word serves two pixels.
func (s *distortion) addNoise(dst []byte, d *draws) {
	d.next = (d.next + 3) / 4 * 4
	for i := 0; i < len(dst); i += 2 {
		word := d.word()
		dst[i] = disturb(dst[i], word, s.noise)
		dst[i+1] = disturb(dst[i+1], word>>16, s.noise)
	}
}

func disturb(value byte, word uint32, amplitude int) byte {
	noise := (int(word&0xff) - int(word>>8&0xff)) * amplitude >> 8
	return byte(min(max(int(value)+noise, 0), 255))
}
