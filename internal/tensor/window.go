package tensor

import "fmt"

// Window is how a kernel slides over an image, the same in both directions unless said otherwise.
type Window struct {
	Height, Width int // of the kernel
	Stride        int
	Padding       int  // zeros (or nothing, for pools) on each side
	Extra         int  // zeros more at the end of each axis
	Dilation      int  // distance of the kernel's taps; 1: dense
	Flat          bool // the image is a signal, of one row: no padding above and below
}

// vertical is the window as it slides down an image.
func (w Window) vertical() Window {
	if w.Flat {
		w.Padding, w.Extra = 0, 0
	}
	return w
}

// Out is the size of the result on an image of height x width, and an error if the kernel does not fit.
func (w Window) Out(height, width int) (outHeight, outWidth int, err error) {
	if w.Height < 1 || w.Width < 1 || w.Stride < 1 || w.Padding < 0 || w.Extra < 0 || w.Dilation < 1 {
		return 0, 0, fmt.Errorf("a kernel of %dx%d with stride %d, padding %d and dilation %d makes no sense",
			w.Height, w.Width, w.Stride, w.Padding, w.Dilation)
	}
	reachY, reachX := (w.Height-1)*w.Dilation+1, (w.Width-1)*w.Dilation+1
	down := w.vertical()
	height, width = height+2*down.Padding+down.Extra, width+2*w.Padding+w.Extra
	if height < reachY || width < reachX {
		return 0, 0, fmt.Errorf("a kernel that reaches over %dx%d pixels does not fit into %dx%d with padding %d",
			reachY, reachX, height-2*down.Padding-down.Extra, width-2*w.Padding-w.Extra, w.Padding)
	}
	return (height-reachY)/w.Stride + 1, (width-reachX)/w.Stride + 1, nil
}

// sliding is a window on images of one size: the geometry that convolutions and pools share. Images are channels last.
type sliding struct {
	Window
	samples, height, width, channels int
	outHeight, outWidth              int
}

func slide(x *Value, w Window) sliding {
	invariant(len(x.Shape) == 4, "a window on %v", x.Shape)
	s := sliding{Window: w, samples: x.Dim(0), height: x.Dim(1), width: x.Dim(2), channels: x.Dim(3)}
	var err error
	s.outHeight, s.outWidth, err = w.Out(s.height, s.width)
	invariant(err == nil, "%v", err)
	return s
}

// pixels is the number of outputs of a sample.
func (s *sliding) pixels() int { return s.outHeight * s.outWidth }

// taps is the number of elements of the kernel.
func (s *sliding) taps() int { return s.Height * s.Width }

// source is where tap (ky, kx) of output (oy, ox) of a sample reads: the offset of the pixel's first channel, or -1 in the
// padding.
func (s *sliding) source(sample, oy, ox, ky, kx int) int {
	y, x := oy*s.Stride-s.vertical().Padding+ky*s.Dilation, ox*s.Stride-s.Padding+kx*s.Dilation
	if y < 0 || y >= s.height || x < 0 || x >= s.width {
		return -1
	}
	return ((sample*s.height+y)*s.width + x) * s.channels
}

// run is the range of taps along one axis that fall on the image: taps [first, end) of the kernel whose first tap lies at
// the given position.
func run(at, taps, dilation, size int) (first, end int) {
	for first < taps && at+first*dilation < 0 {
		first++
	}
	for end = taps; end > first && at+(end-1)*dilation >= size; end-- {
	}
	return first, end
}
