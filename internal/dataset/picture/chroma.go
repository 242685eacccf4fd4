package picture

import "image"

// withChroma is a decoded JPEG whose colours have as many values as its brightness: those between are interpolated as libjpeg does it,
// and with it Pillow ("fancy upsampling": three parts of the nearer value, one of the farther). Of two values side by side, one rounds up and
// the other down. Other ratios than halves repeat values.
func withChroma(m *image.YCbCr) *image.YCbCr {
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440:
	default:
		return m
	}
	size := m.Rect.Size()
	full := &image.YCbCr{Y: m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y):], YStride: m.YStride, CStride: size.X,
		SubsampleRatio: image.YCbCrSubsampleRatio444, Rect: image.Rectangle{Max: size}}
	at := m.COffset(m.Rect.Min.X, m.Rect.Min.Y)
	full.Cb, full.Cr = upsample(m.Cb[at:], m.CStride, m.SubsampleRatio, size), upsample(m.Cr[at:], m.CStride, m.SubsampleRatio, size)
	return full
}

// fewColumns is the width of a plane of chroma up to which libjpeg repeats its values.
const fewColumns = 2

// upsample gives a plane of chroma the size of the picture.
func upsample(plane []byte, stride int, ratio image.YCbCrSubsampleRatio, size image.Point) []byte {
	out := make([]byte, size.X*size.Y)
	wide, high := ratio != image.YCbCrSubsampleRatio440, ratio != image.YCbCrSubsampleRatio422
	columns, rows := size.X, size.Y
	if wide {
		columns = (size.X + 1) / 2
	}
	if high {
		rows = (size.Y + 1) / 2
	}
	if wide && columns <= fewColumns {
		for i := range out {
			x, y := i%size.X/2, i/size.X
			if high {
				y /= 2
			}
			out[i] = plane[y*stride+x]
		}
		return out
	}
	row := func(y int) []byte { return plane[min(max(y, 0), rows-1)*stride:][:columns] }
	sums := make([]int, columns)
	for y := range size.Y {
		dst := out[y*size.X:][:size.X]
		if !high {
			across(dst, row(y))
			continue
		}
		near, far := row(y/2), row(y/2-1+y%2*2)
		if !wide {
			for x := range dst {
				dst[x] = uint8((3*int(near[x]) + int(far[x]) + 1 + y%2) >> 2)
			}
			continue
		}
		for x := range sums {
			sums[x] = 3*int(near[x]) + int(far[x])
		}
		acrossSums(dst, sums)
	}
	return out
}

// across doubles the values of a row.
func across(dst, src []byte) {
	last := len(src) - 1
	for x := range dst {
		k := x / 2
		v := int(src[k])
		switch {
		case x%2 == 0 && k > 0:
			v = (3*v + int(src[k-1]) + 1) >> 2
		case x%2 == 1 && k < last:
			v = (3*v + int(src[k+1]) + 2) >> 2
		}
		dst[x] = uint8(v)
	}
}

// acrossSums doubles the values of a row of sums of two rows, four parts each.
func acrossSums(dst []byte, sums []int) {
	last := len(sums) - 1
	for x := range dst {
		k := x / 2
		v := 4 * sums[k]
		if x%2 == 0 {
			if k > 0 {
				v = 3*sums[k] + sums[k-1]
			}
			v += 8
		} else {
			if k < last {
				v = 3*sums[k] + sums[k+1]
			}
			v += 7
		}
		dst[x] = uint8(v >> 4)
	}
}
