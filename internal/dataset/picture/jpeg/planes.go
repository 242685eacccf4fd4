package jpeg

import "image"

// image is the decoded picture.
func (d *decoder) image() image.Image {
	if d.progressive {
		for i := range d.components {
			d.components[i].finish()
		}
	}
	planes := make([]plane, len(d.components))
	for i := range planes {
		planes[i] = d.full(&d.components[i])
	}
	size := image.Rect(0, 0, d.width, d.height)
	switch {
	case len(planes) == 1:
		return &image.Gray{Pix: planes[0].values, Stride: planes[0].stride, Rect: size}
	case len(planes) == 4:
		return ink(planes, d.adobe && d.transform == 0 || !d.adobe, size)
	case d.isRGB():
		return merge(size, func(y, x int) (r, g, b uint8) { return planes[0].at(y, x), planes[1].at(y, x), planes[2].at(y, x) })
	}
	if planes[2].stride != planes[1].stride { // chroma of two resolutions
		planes[1], planes[2] = planes[1].packed(d.width, d.height), planes[2].packed(d.width, d.height)
	}
	return &image.YCbCr{Y: planes[0].values, YStride: planes[0].stride, Cb: planes[1].values, Cr: planes[2].values, CStride: planes[1].stride,
		SubsampleRatio: image.YCbCrSubsampleRatio444, Rect: size}
}

// isRGB reports whether three components are red, green and blue, not luma and chroma.
func (d *decoder) isRGB() bool {
	switch c := d.components; {
	case d.jfif:
		return false
	case d.adobe:
		return d.transform == 0
	default:
		return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
	}
}

// finish makes the samples of a progressive component.
func (c *component) finish() {
	var values [blockSize]int32
	for block := range c.blocksAcross * c.blocksDown {
		for k, v := range c.coefficients[blockSize*block:][:blockSize] {
			values[k] = int32(v) * int32(c.quant[k])
		}
		c.place(block, &values)
	}
	c.coefficients = nil
}

// plane is one value for each pixel.
type plane struct {
	values []byte
	stride int
}

func (p plane) at(y, x int) uint8 { return p.values[y*p.stride+x] }

// packed is a plane whose rows have no values beyond the picture.
func (p plane) packed(width, height int) plane {
	out := plane{make([]byte, width*height), width}
	for y := range height {
		copy(out.values[y*width:][:width], p.values[y*p.stride:])
	}
	return out
}

// full is a component at the size of the picture.
func (d *decoder) full(c *component) plane {
	own := plane{c.samples, c.stride}
	across, down := d.hMax/c.h, d.vMax/c.v
	switch {
	case across == 1 && down == 1:
		return own
	case across <= 2 && down <= 2 && (across == 1 || c.columns > fewColumns):
		return plane{interpolate(own, c.columns, c.rows, across == 2, down == 2, d.width, d.height), d.width}
	}
	out := plane{make([]byte, d.width*d.height), d.width}
	for y := range d.height {
		for x := range d.width {
			out.values[y*d.width+x] = own.at(y/down, x/across)
		}
	}
	return out
}

// merge makes a picture of the colours of its pixels.
func merge(size image.Rectangle, colour func(y, x int) (r, g, b uint8)) *image.NRGBA {
	m := image.NewNRGBA(size)
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = colour(i/4/size.Max.X, i/4%size.Max.X)
		m.Pix[i+3] = 255
	}
	return m
}

// ink is the picture of cyan, magenta, yellow and black, or of their luma and chroma with black. As Adobe's programs write it, and Pillow reads it whoever wrote it, 255 is no ink.
func ink(planes []plane, plain bool, size image.Rectangle) *image.NRGBA {
	return merge(size, func(y, x int) (r, g, b uint8) {
		c, m, w, k := planes[0].at(y, x), planes[1].at(y, x), planes[2].at(y, x), planes[3].at(y, x)
		if !plain {
			c, m, w = Colour(c, m, w)
			c, m, w = 255-c, 255-m, 255-w
		}
		return k - covered(255-c, k), k - covered(255-m, k), k - covered(255-w, k)
	})
}

// covered is the product of two values as shares of 255, rounded.
func covered(a, b uint8) uint8 {
	v := uint32(a)*uint32(b) + 128
	return uint8((v>>8 + v) >> 8)
}

// Colour is the colour of a pixel of luma and chroma as JFIF defines it, in 16 bits behind the point, green rounded once: as libjpeg has it, and
// with it Pillow. Package image/color rounds otherwise.
func Colour(luma, blue, red uint8) (r, g, b uint8) {
	const half = 1 << 15
	y, cb, cr := int(luma), int(blue)-128, int(red)-128
	clip := func(v int) uint8 { return uint8(min(max(v, 0), 255)) }
	return clip(y + (91881*cr+half)>>16), clip(y + (-22554*cb-46802*cr+half)>>16), clip(y + (116130*cb+half)>>16)
}
