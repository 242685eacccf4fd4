package augment

import (
	"math"

	"ringmaster/internal/elementary"
)

// Ways to fill the border around a picture, named as torchvision's padding modes.
const (
	Constant  = "constant"
	Edge      = "edge"      // the outermost pixel again and again
	Reflect   = "reflect"   // mirrored, without the outermost pixel
	Symmetric = "symmetric" // mirrored, with it
)

// source is the place from which place at of a padded line of n is taken; -1: it is filled.
func source(at, n int, mode string) int {
	if at >= 0 && at < n {
		return at
	}
	switch mode {
	case Edge:
		return min(max(at, 0), n-1)
	case Reflect:
		if n == 1 {
			return 0
		}
		period := 2 * (n - 1)
		at = ((at % period) + period) % period
		return min(at, period-at)
	case Symmetric:
		at = ((at % (2 * n)) + 2*n) % (2 * n)
		return min(at, 2*n-1-at)
	}
	return -1
}

// shift makes dst the part of the padded picture that begins down and right of src's first pixel.
func (s Size) shift(dst, src []byte, down, right int, mode string, fill byte) {
	for c := range s.Channels {
		plane := src[c*s.Plane():][:s.Plane()]
		for y := range s.Rows {
			out := dst[c*s.Plane()+y*s.Columns:][:s.Columns]
			from := source(y+down, s.Rows, mode)
			if from < 0 {
				paint(out, fill)
				continue
			}
			s.shiftRow(out, plane[from*s.Columns:][:s.Columns], right, mode, fill)
		}
	}
}

func (s Size) shiftRow(out, row []byte, right int, mode string, fill byte) {
	begin := min(max(-right, 0), len(out))
	end := max(min(len(out)-right, len(out)), begin)
	if begin < end {
		copy(out[begin:end], row[begin+right:end+right])
	}
	for x := range out {
		if x >= begin && x < end {
			continue
		}
		if from := source(x+right, len(row), mode); from >= 0 {
			out[x] = row[from]
		} else {
			out[x] = fill
		}
	}
}

func paint(row []byte, v byte) {
	for i := range row {
		row[i] = v
	}
}

// mirror makes dst the picture mirrored left to right.
func (s Size) mirror(dst, src []byte) {
	for at := 0; at < s.Bytes(); at += s.Columns {
		row, out := src[at:at+s.Columns], dst[at:at+s.Columns]
		for x, v := range row {
			out[len(out)-1-x] = v
		}
	}
}

// turnOver makes dst the picture mirrored top to bottom.
func (s Size) turnOver(dst, src []byte) {
	for c := range s.Channels {
		for y := range s.Rows {
			copy(dst[c*s.Plane()+y*s.Columns:][:s.Columns], src[c*s.Plane()+(s.Rows-1-y)*s.Columns:][:s.Columns])
		}
	}
}

// rotate makes dst the picture turned counter-clockwise about its middle, as Pillow's rotate with bilinear interpolation. degrees is from
// -180 to 180; what comes from outside is fill.
func (s Size) rotate(dst, src []byte, degrees float64, fill byte) {
	switch {
	case degrees == 0:
		copy(dst, src[:s.Bytes()])
		return
	case degrees == 180 || degrees == -180:
		s.turnHalf(dst, src)
		return
	case (degrees == 90 || degrees == -90) && s.Rows == s.Columns:
		s.turnQuarter(dst, src, degrees > 0)
		return
	}
	cos, sin := direction(degrees)
	// The matrix is that of Pillow's rotate: it leads from a place in dst to one in src.
	middleX, middleY := float64(s.Columns)/2, float64(s.Rows)/2
	startX := float64(cos*-middleX) + float64(-sin*-middleY) + middleX
	startY := float64(sin*-middleX) + float64(cos*-middleY) + middleY
	for y := range s.Rows {
		downX, downY := float64(-sin*(float64(y)+0.5)), float64(cos*(float64(y)+0.5))
		for x := range s.Columns {
			acrossX, acrossY := float64(cos*(float64(x)+0.5)), float64(sin*(float64(x)+0.5))
			s.interpolate(dst, src, y*s.Columns+x, acrossX+downX+startX, acrossY+downY+startY, fill)
		}
	}
}

// direction is cosine and sine of an angle, rounded to 15 decimals as Pillow has them.
func direction(degrees float64) (cos, sin float64) {
	sin, cos = elementary.SinCos(math.Abs(degrees) * (math.Pi / 180))
	return math.Copysign(decimals(math.Abs(cos)), cos), math.Copysign(decimals(sin), degrees)
}

// decimals is a number from 0 to 1 rounded to 15 decimals, as Python's round does it: by the product that is not rounded itself.
func decimals(x float64) float64 {
	product := float64(x * 1e15)
	whole := math.Floor(product)
	if rest := product - whole; rest+math.FMA(x, 1e15, -product) > 0.5 {
		whole++
	}
	return whole / 1e15
}

// interpolate sets pixel at to what is at (x, y) of src, in pixels from the corner of the first.
func (s Size) interpolate(dst, src []byte, at int, x, y float64, fill byte) {
	plane := s.Plane()
	if x < 0 || x >= float64(s.Columns) || y < 0 || y >= float64(s.Rows) {
		for c := range s.Channels {
			dst[c*plane+at] = fill
		}
		return
	}
	x, y = x-0.5, y-0.5
	left, top := int(math.Floor(x)), int(math.Floor(y))
	dx, dy := x-float64(left), y-float64(top)
	x0, x1 := max(left, 0), min(left+1, s.Columns-1)
	upper, lower := max(top, 0)*s.Columns, (top+1)*s.Columns
	for c := range s.Channels {
		p := src[c*plane : (c+1)*plane]
		v := between(p[upper+x0], p[upper+x1], dx)
		if top+1 < s.Rows {
			v += float64((between(p[lower+x0], p[lower+x1], dx) - v) * dy)
		}
		dst[c*plane+at] = byte(v)
	}
}

func between(a, b byte, part float64) float64 {
	return float64(a) + float64(float64(int(b)-int(a))*part)
}

func (s Size) turnHalf(dst, src []byte) {
	n := s.Plane()
	for c := range s.Channels {
		for i := range n {
			dst[c*n+i] = src[c*n+n-1-i]
		}
	}
}

// turnQuarter turns a square picture by 90 degrees.
func (s Size) turnQuarter(dst, src []byte, left bool) {
	n := s.Columns
	for c := range s.Channels {
		in, out := src[c*n*n:(c+1)*n*n], dst[c*n*n:(c+1)*n*n]
		for y := range n {
			for x := range n {
				if left {
					out[y*n+x] = in[x*n+n-1-y]
				} else {
					out[y*n+x] = in[(n-1-x)*n+y]
				}
			}
		}
	}
}
