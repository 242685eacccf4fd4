package augment

// weightBits is the number of bits behind the point of Pillow's weights for bytes.
const weightBits = 32 - 8 - 2

// taps are the pixels of a line that one pixel of an enlarged line is made of, with their weights. There are at most three: a part of a picture
// is never larger than the whole.
type taps struct {
	first, count int
	weights      [3]int64
}

// tapsOf are the taps of pixel at where n pixels become size, as Pillow's bilinear filter has them. n is at most size.
func tapsOf(at, n, size int) (t taps) {
	scale := float64(n) / float64(size)
	centre := float64((float64(at) + 0.5) * scale)
	t.first = max(int(centre-1+0.5), 0)
	last := min(int(centre+1+0.5), n)
	t.count = last - t.first
	var weights [3]float64
	sum := 0.0
	for i := range t.count {
		x := float64(i+t.first) - centre + 0.5
		if x < 0 {
			x = -x
		}
		if x < 1 {
			weights[i] = 1 - x
		}
		sum += weights[i]
	}
	for i := range t.count {
		t.weights[i] = int64(0.5 + float64(weights[i]/sum*(1<<weightBits)))
	}
	return t
}

// apply is the pixel made of the line of src that begins at a place and has a stride.
func (t *taps) apply(src []byte, begin, stride int) byte {
	sum := int64(1) << (weightBits - 1)
	for i := range t.count {
		sum += int64(src[begin+(t.first+i)*stride]) * t.weights[i]
	}
	return byte(min(sum>>weightBits, 255))
}

// enlarge makes dst the part of src, enlarged to the picture's size as Pillow's crop and resize with bilinear interpolation: first along the
// rows, then along the columns, with bytes between. spare is room for a picture.
func (s Size) enlarge(dst, src, spare []byte, part box) {
	plane := s.Plane()
	for x := range s.Columns {
		t := tapsOf(x, part.columns, s.Columns)
		for c := range s.Channels {
			for y := range part.rows {
				spare[c*plane+y*s.Columns+x] = t.apply(src, c*plane+(part.top+y)*s.Columns+part.left, 1)
			}
		}
	}
	for y := range s.Rows {
		t := tapsOf(y, part.rows, s.Rows)
		for c := range s.Channels {
			for x := range s.Columns {
				dst[c*plane+y*s.Columns+x] = t.apply(spare, c*plane+x, s.Columns)
			}
		}
	}
}
