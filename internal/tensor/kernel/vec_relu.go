package kernel

// ReLU sets dst[i] = 0 where 0 > x[i], else x[i]: NaN and -0 pass through.
func ReLU(dst, x []float32) {
	sameLength("ReLU", len(dst), len(x))
	reluVec(dst, x)
}

func reluGo(dst, x []float32) {
	for i, v := range x {
		if 0 > v {
			v = 0
		}
		dst[i] = v
	}
}

// ReLUBackward sets dx[i] = dy[i] where y[i] > 0, else +0. y is ReLU's output (its input serves as well).
func ReLUBackward(dx, dy, y []float32) {
	sameLength("ReLUBackward", len(dx), len(dy), len(y))
	reluBackwardVec(dx, dy, y)
}

func reluBackwardGo(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = throughReLU(dy[i], v)
	}
}

// throughReLU is ReLUBackward for one element.
func throughReLU(dy, y float32) float32 {
	if y > 0 {
		return dy
	}
	return 0
}

// ReLU6 sets dst[i] = x[i] clamped to [0, 6]: NaN and -0 pass through.
func ReLU6(dst, x []float32) {
	sameLength("ReLU6", len(dst), len(x))
	relu6Vec(dst, x)
}

func relu6Go(dst, x []float32) {
	for i, v := range x {
		if 0 > v {
			v = 0
		}
		if 6 < v {
			v = 6
		}
		dst[i] = v
	}
}

// ReLU6Backward sets dx[i] = dy[i] where 0 < y[i] < 6, else +0. y is ReLU6's output (its input serves as well).
func ReLU6Backward(dx, dy, y []float32) {
	sameLength("ReLU6Backward", len(dx), len(dy), len(y))
	relu6BackwardVec(dx, dy, y)
}

func relu6BackwardGo(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = throughReLU6(dy[i], v)
	}
}

// throughReLU6 is ReLU6Backward for one element.
func throughReLU6(dy, y float32) float32 {
	if y > 0 && y < 6 {
		return dy
	}
	return 0
}
