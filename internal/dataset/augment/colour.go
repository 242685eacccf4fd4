package augment

import "math"

// blend is Pillow's blend of two bytes, in float32: a at factor 0, b at 1, beyond them clipped.
func blend(a, b byte, factor float32) byte {
	v := float32(int(a)) + float32(factor*float32(int(b)-int(a)))
	switch {
	case v <= 0:
		return 0
	case v >= 255:
		return 255
	}
	return byte(v)
}

// towards blends every byte of a picture with one value.
func towards(pix []byte, value byte, factor float32) {
	var table [256]byte
	for v := range table {
		table[v] = blend(value, byte(v), factor)
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// brighten is torchvision's adjust_brightness: a blend with black.
func (s Size) brighten(pix []byte, factor float32) { towards(pix[:s.Bytes()], 0, factor) }

// contrast is torchvision's adjust_contrast: a blend with the picture's mean brightness.
func (s Size) contrast(pix []byte, factor float32) {
	n, sum := s.Plane(), 0
	if s.Channels == 1 {
		for _, v := range pix[:n] {
			sum += int(v)
		}
	} else {
		for i := range n {
			sum += int(luminance(pix[i], pix[n+i], pix[2*n+i]))
		}
	}
	towards(pix[:s.Bytes()], byte(float64(sum)/float64(n)+0.5), factor)
}

// saturate is torchvision's adjust_saturation: a blend of each pixel with its brightness. It is for three channels.
func (s Size) saturate(pix []byte, factor float32) {
	n := s.Plane()
	for i := range n {
		grey := luminance(pix[i], pix[n+i], pix[2*n+i])
		pix[i], pix[n+i], pix[2*n+i] = blend(grey, pix[i], factor), blend(grey, pix[n+i], factor), blend(grey, pix[2*n+i], factor)
	}
}

// turnHue is torchvision's adjust_hue: the hue, as a byte, moves by a part of the circle. It is for three channels.
func (s Size) turnHue(pix []byte, part float64) {
	n, by := s.Plane(), byte(int32(part*255))
	for i := range n {
		h, sat, v := toHSV(pix[i], pix[n+i], pix[2*n+i])
		pix[i], pix[n+i], pix[2*n+i] = fromHSV(h+by, sat, v)
	}
}

// toHSV is Pillow's conversion of a pixel to hue, saturation and value.
func toHSV(r, g, b byte) (h, s, v byte) {
	most, least := max(r, g, b), min(r, g, b)
	if most == least {
		return 0, 0, most
	}
	span := float32(most - least)
	rc, gc, bc := float32(most-r)/span, float32(most-g)/span, float32(most-b)/span
	var hue float32
	switch most {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	turned := float64(hue)/6 + 1
	hue = float32(turned - math.Floor(turned))
	return byte(float64(hue) * 255), byte(float64(span/float32(most)) * 255), most
}

// fromHSV is Pillow's conversion back.
func fromHSV(h, s, v byte) (r, g, b byte) {
	if s == 0 {
		return v, v, v
	}
	scaled := float64(float32(h)) * 6 / 255
	sector := math.Floor(scaled)
	f := float32(scaled - sector)
	fs := float32(s) / 255
	value := float64(v)
	p := rounded(value * (1 - float64(fs)))
	q := rounded(value * (1 - float64(fs*f)))
	t := rounded(value * (1 - float64(float64(fs)*(1-float64(f)))))
	switch int(sector) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

func rounded(x float64) byte { return byte(min(max(math.Floor(x+0.5), 0), 255)) }
