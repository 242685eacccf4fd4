package jpeg

// fewColumns is the number of columns up to which values are repeated across, not interpolated.
const fewColumns = 2

// interpolate doubles a plane of columns x rows across, down or both: between values three parts of the nearer one and one of the farther are taken ("fancy upsampling" of
// libjpeg). Of two values side by side, one rounds up and the other down.
func interpolate(p plane, columns, rows int, wide, high bool, width, height int) []byte {
	out := make([]byte, width*height)
	row := func(y int) []byte { return p.values[min(max(y, 0), rows-1)*p.stride:][:columns] }
	sums := make([]int, columns)
	for y := range height {
		dst := out[y*width:][:width]
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
