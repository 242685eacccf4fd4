package picture

import (
	"fmt"
	"image"
	"math"
)

// Fit says how pictures of any size are brought to one: scaled, then the middle is cut out, with the bytes that Pillow and torchvision
// compute.
type Fit struct {
	Edge    int         // the shorter edge's length after scaling, the other in proportion, as torchvision's Resize(Edge); 0: Size
	Size    image.Point // columns and rows after scaling, whatever the aspect
	Crop    int         // edge of the square that is cut out of the middle, as torchvision's CenterCrop(Crop); 0: none
	Nearest bool        // take the nearest pixel; else bilinear, over all the pixels that an output covers (Pillow's antialias)
}

// Limits of what a picture is scaled to.
const (
	maxScaledEdge = 1 << 16
	maxScaled     = 1 << 26 // pixels
)

// Out is the columns and rows of what comes out.
func (f Fit) Out() image.Point {
	if f.Crop > 0 {
		return image.Pt(f.Crop, f.Crop)
	}
	return f.Size
}

// scaled is the size of a picture after scaling.
func (f Fit) scaled(size image.Point) image.Point {
	switch {
	case f.Edge == 0:
		return f.Size
	case size.X <= size.Y:
		return image.Pt(f.Edge, f.Edge*size.Y/size.X)
	}
	return image.Pt(f.Edge*size.X/size.Y, f.Edge)
}

// middle is the part of a scaled picture that is cut out. An odd rest is divided as Python's round(rest / 2) does: halves to even.
func (f Fit) middle(size image.Point) image.Rectangle {
	if f.Crop == 0 {
		return image.Rectangle{Max: size}
	}
	half := func(rest int) int {
		h := rest / 2
		if rest%2 == 1 && h%2 == 1 {
			h++
		}
		return h
	}
	corner := image.Pt(half(size.X-f.Crop), half(size.Y-f.Crop))
	return image.Rectangle{corner, corner.Add(f.Out())}
}

// Planes scales and cuts a picture into a plane of red, one of green and one of blue, each of Out's size.
func (f Fit) Planes(dst []byte, p *Picture) error {
	size := f.scaled(p.Size)
	if size.X > maxScaledEdge || size.Y > maxScaledEdge || size.X*size.Y > maxScaled {
		return fmt.Errorf("has %d x %d pixels, which would be scaled to %d x %d: cut it to a less extreme shape", p.Size.X, p.Size.Y, size.X, size.Y)
	}
	part := f.middle(size)
	if f.Nearest {
		f.nearest(dst, p, size, part)
		return nil
	}
	bilinear(dst, p, size, part)
	return nil
}

// nearest takes the pixel in which the middle of each output lies. Pillow adds up the places one by one, and so does this: the sum may end
// on the other side of a border than the product.
func (f Fit) nearest(dst []byte, p *Picture, size image.Point, part image.Rectangle) {
	columns, rows := places(p.Size.X, size.X), places(p.Size.Y, size.Y)
	plane, i := part.Dx()*part.Dy(), 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			dst[i], dst[plane+i], dst[2*plane+i] = p.At(columns[x], rows[y])
			i++
		}
	}
}

func places(from, to int) []int {
	out := make([]int, to)
	step := float64(from) / float64(to)
	at := float64(step * 0.5)
	for i := range out {
		out[i] = min(int(at), from-1)
		at += step
	}
	return out
}

// precision is the number of bits behind the point of Pillow's weights.
const precision = 32 - 8 - 2

// weights are what an output takes of the inputs from first on.
type weights struct {
	first int
	of    []int32 // in 2^-precision; they add up to about one
}

func (w *weights) end() int { return w.first + len(w.of) }

// triangles are the weights of each output from begin to end, of to, from inputs: a triangle around the output's middle, as wide as the scale.
func triangles(from, to, begin, end int) []weights {
	scale := float64(from) / float64(to)
	wide := max(scale, 1)
	out := make([]weights, 0, end-begin)
	for k := begin; k < end; k++ {
		middle := float64((float64(k) + 0.5) * scale)
		first := max(int(middle-wide+0.5), 0)
		last := min(int(middle+wide+0.5), from)
		chain, sum := make([]float64, last-first), 0.0
		for i := range chain {
			distance := math.Abs(float64((float64(i+first) - middle + 0.5) * (1 / wide)))
			chain[i] = max(1-distance, 0)
			sum += chain[i]
		}
		w := weights{first, make([]int32, len(chain))}
		for i, v := range chain {
			if sum != 0 {
				v /= sum
			}
			w.of[i] = int32(float64(v*(1<<precision)) + 0.5)
		}
		out = append(out, w)
	}
	return out
}

// rounded is a weighted sum as a byte.
func rounded(sum int32) byte { return byte(min(max((sum+1<<(precision-1))>>precision, 0), 255)) }

// bilinear scales along one axis, rounds to bytes, then scales along the other, as Pillow does: along the rows first, unless the picture
// loses more than twice as many rows as columns.
func bilinear(dst []byte, p *Picture, size image.Point, part image.Rectangle) {
	if lost := p.Size.Sub(size); lost.Y > 0 && 2*lost.X < lost.Y {
		turned := image.Rect(part.Min.Y, part.Min.X, part.Max.Y, part.Max.X)
		across, down := triangles(p.Size.Y, size.Y, turned.Min.X, turned.Max.X), triangles(p.Size.X, size.X, turned.Min.Y, turned.Max.Y)
		sums := twoPasses(func(x, y int) (r, g, b uint8) { return p.At(y, x) }, p.Size.X, across, down)
		put(dst, sums, part.Dy(), 1, part.Dx())
		return
	}
	across, down := triangles(p.Size.X, size.X, part.Min.X, part.Max.X), triangles(p.Size.Y, size.Y, part.Min.Y, part.Max.Y)
	put(dst, twoPasses(p.At, p.Size.Y, across, down), part.Dx(), part.Dx(), 1)
}

// put rounds the sums of rows of width pixels into three planes, the next row at a distance of row and the next pixel of pixel.
func put(dst []byte, sums []int32, width, row, pixel int) {
	plane := len(sums) / 3
	for i := range plane {
		at := i/width*row + i%width*pixel
		for c := range 3 {
			dst[c*plane+at] = rounded(sums[3*i+c])
		}
	}
}

// twoPasses scales each of the rows of a picture across, and adds it to the outputs that take it down the columns.
func twoPasses(at func(x, y int) (r, g, b uint8), rows int, across, down []weights) []int32 {
	width := len(across)
	left, right := across[0].first, across[0].end()
	for i := range across {
		left, right = min(left, across[i].first), max(right, across[i].end())
	}
	row, scaled, sums := make([]byte, 3*(right-left)), make([]byte, 3*width), make([]int32, 3*width*len(down))
	begin := 0 // outputs before it are finished
	for y := down[0].first; y < rows && begin < len(down); y++ {
		for x := left; x < right; x++ {
			row[3*(x-left)], row[3*(x-left)+1], row[3*(x-left)+2] = at(x, y)
		}
		scaleRow(scaled, row, left, across)
		for k := begin; k < len(down) && down[k].first <= y; k++ {
			if y >= down[k].end() {
				continue
			}
			v, out := down[k].of[y-down[k].first], sums[3*width*k:][:3*width]
			for i, c := range scaled {
				out[i] += v * int32(c)
			}
		}
		for begin < len(down) && down[begin].end() <= y+1 {
			begin++
		}
	}
	return sums
}

// scaleRow scales a row of which the first pixel has the number left.
func scaleRow(dst, row []byte, left int, across []weights) {
	for x := range across {
		w := &across[x]
		var r, g, b int32
		for i, v := range w.of {
			c := row[3*(w.first-left+i):][:3]
			r, g, b = r+v*int32(c[0]), g+v*int32(c[1]), b+v*int32(c[2])
		}
		dst[3*x], dst[3*x+1], dst[3*x+2] = rounded(r), rounded(g), rounded(b)
	}
}
