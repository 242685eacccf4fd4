//go:build !purego

package tensor

import "ringmaster/internal/tensor/kernel"

//go:generate go -C kernel/gen run ./depthwise -out ../../taprun_amd64.s

// split divides the channels into whole vectors and a mask for what is left, and says how many channels these are.
func (r *tapRun) split(tier kernel.Tier) (done int) {
	lanes := vectorBytes() / 4
	if lanes == 0 {
		return 0
	}
	r.blocks = r.channels / lanes
	if tier == kernel.AVX512 {
		r.tail = 1<<(r.channels%lanes) - 1
		return r.channels
	}
	return r.blocks * lanes
}

// vectorBytes is the size of a vector of the tier in use, 0 without any.
func vectorBytes() int {
	switch kernel.Current() {
	case kernel.AVX512:
		return 64
	case kernel.AVX2:
		return 32
	}
	return 0
}

// forwardVectors carries the forward form out in assembly, if the tier in use has it, and says for how many channels.
func (r *tapRun) forwardVectors() (done int) {
	tier := kernel.Current()
	if done = r.split(tier); done == 0 {
		return 0
	}
	k := r.taps
	if tier == kernel.AVX2 {
		k += maxTaps
	}
	switch k {
	case 1:
		depthwise1AVX512(r)
	case 2:
		depthwise2AVX512(r)
	case 3:
		depthwise3AVX512(r)
	case 4:
		depthwise4AVX512(r)
	case 5:
		depthwise5AVX512(r)
	case 6:
		depthwise6AVX512(r)
	case 7:
		depthwise7AVX512(r)
	case 8:
		depthwise8AVX512(r)
	case 9:
		depthwise9AVX512(r)
	case maxTaps + 1:
		depthwise1AVX2(r)
	case maxTaps + 2:
		depthwise2AVX2(r)
	case maxTaps + 3:
		depthwise3AVX2(r)
	case maxTaps + 4:
		depthwise4AVX2(r)
	case maxTaps + 5:
		depthwise5AVX2(r)
	case maxTaps + 6:
		depthwise6AVX2(r)
	case maxTaps + 7:
		depthwise7AVX2(r)
	case maxTaps + 8:
		depthwise8AVX2(r)
	case maxTaps + 9:
		depthwise9AVX2(r)
	}
	return done
}

// gradientVectors carries the gradient form out in assembly, if the tier in use has it, and says for how many channels.
func (r *tapRun) gradientVectors() (done int) {
	tier := kernel.Current()
	if done = r.split(tier); done == 0 {
		return 0
	}
	k := r.taps
	if tier == kernel.AVX2 {
		k += maxTaps
	}
	switch k {
	case 1:
		depthwiseGradient1AVX512(r)
	case 2:
		depthwiseGradient2AVX512(r)
	case 3:
		depthwiseGradient3AVX512(r)
	case 4:
		depthwiseGradient4AVX512(r)
	case 5:
		depthwiseGradient5AVX512(r)
	case 6:
		depthwiseGradient6AVX512(r)
	case 7:
		depthwiseGradient7AVX512(r)
	case 8:
		depthwiseGradient8AVX512(r)
	case 9:
		depthwiseGradient9AVX512(r)
	case maxTaps + 1:
		depthwiseGradient1AVX2(r)
	case maxTaps + 2:
		depthwiseGradient2AVX2(r)
	case maxTaps + 3:
		depthwiseGradient3AVX2(r)
	case maxTaps + 4:
		depthwiseGradient4AVX2(r)
	case maxTaps + 5:
		depthwiseGradient5AVX2(r)
	case maxTaps + 6:
		depthwiseGradient6AVX2(r)
	case maxTaps + 7:
		depthwiseGradient7AVX2(r)
	case maxTaps + 8:
		depthwiseGradient8AVX2(r)
	case maxTaps + 9:
		depthwiseGradient9AVX2(r)
	}
	return done
}

//go:noescape
func depthwise1AVX512(r *tapRun)

//go:noescape
func depthwise2AVX512(r *tapRun)

//go:noescape
func depthwise3AVX512(r *tapRun)

//go:noescape
func depthwise4AVX512(r *tapRun)

//go:noescape
func depthwise5AVX512(r *tapRun)

//go:noescape
func depthwise6AVX512(r *tapRun)

//go:noescape
func depthwise7AVX512(r *tapRun)

//go:noescape
func depthwise8AVX512(r *tapRun)

//go:noescape
func depthwise9AVX512(r *tapRun)

//go:noescape
func depthwise1AVX2(r *tapRun)

//go:noescape
func depthwise2AVX2(r *tapRun)

//go:noescape
func depthwise3AVX2(r *tapRun)

//go:noescape
func depthwise4AVX2(r *tapRun)

//go:noescape
func depthwise5AVX2(r *tapRun)

//go:noescape
func depthwise6AVX2(r *tapRun)

//go:noescape
func depthwise7AVX2(r *tapRun)

//go:noescape
func depthwise8AVX2(r *tapRun)

//go:noescape
func depthwise9AVX2(r *tapRun)

//go:noescape
func depthwiseGradient1AVX512(r *tapRun)

//go:noescape
func depthwiseGradient2AVX512(r *tapRun)

//go:noescape
func depthwiseGradient3AVX512(r *tapRun)

//go:noescape
func depthwiseGradient4AVX512(r *tapRun)

//go:noescape
func depthwiseGradient5AVX512(r *tapRun)

//go:noescape
func depthwiseGradient6AVX512(r *tapRun)

//go:noescape
func depthwiseGradient7AVX512(r *tapRun)

//go:noescape
func depthwiseGradient8AVX512(r *tapRun)

//go:noescape
func depthwiseGradient9AVX512(r *tapRun)

//go:noescape
func depthwiseGradient1AVX2(r *tapRun)

//go:noescape
func depthwiseGradient2AVX2(r *tapRun)

//go:noescape
func depthwiseGradient3AVX2(r *tapRun)

//go:noescape
func depthwiseGradient4AVX2(r *tapRun)

//go:noescape
func depthwiseGradient5AVX2(r *tapRun)

//go:noescape
func depthwiseGradient6AVX2(r *tapRun)

//go:noescape
func depthwiseGradient7AVX2(r *tapRun)

//go:noescape
func depthwiseGradient8AVX2(r *tapRun)

//go:noescape
func depthwiseGradient9AVX2(r *tapRun)
