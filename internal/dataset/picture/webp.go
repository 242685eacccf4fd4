package picture

import (
	"bytes"
	"image"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a file. The colours of a lossy one are those that libwebp makes: WebP's range of luma is 16 to 235, which the
// standard library takes for 0 to 255, and the chroma, at half resolution, is interpolated.
func decodeWebP(raw []byte) (image.Image, string, error) {
	m, err := webp.Decode(bytes.NewReader(raw))
	switch lossy := m.(type) {
	case *image.YCbCr:
		return fromVP8(lossy), "", err
	case *image.NYCbCrA:
		return fromVP8(&lossy.YCbCr), "", err
	}
	return m, "", err
}

func fromVP8(m *image.YCbCr) *image.NRGBA {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	columns, rows := (width+1)/2, (height+1)/2
	for y := range height {
		near, far := nearest(y, rows)
		near, far = near*m.CStride, far*m.CStride
		for x := range width {
			column, other := nearest(x, columns)
			u := between(m.Cb[near+column], m.Cb[near+other], m.Cb[far+column], m.Cb[far+other])
			v := between(m.Cr[near+column], m.Cr[near+other], m.Cr[far+column], m.Cr[far+other])
			luma := 19077 * int(m.Y[y*m.YStride+x]) >> 8
			p := out.Pix[out.PixOffset(x, y):]
			p[0] = clip6(luma + 26149*v>>8 - 14234)
			p[1] = clip6(luma - 6419*u>>8 - 13320*v>>8 + 8708)
			p[2] = clip6(luma + 33050*u>>8 - 17685)
			p[3] = 255
		}
	}
	return out
}

// nearest is the sample of chroma that place k is in, and the next nearest, of n.
func nearest(k, n int) (near, far int) {
	near = k / 2
	if k%2 == 0 {
		return near, max(near-1, 0)
	}
	return near, min(near+1, n-1)
}

// between weighs four samples of chroma 9 : 3 : 3 : 1, rounded as libwebp does.
func between(near, beside, above, across uint8) int {
	n, b, a, c := int(near), int(beside), int(above), int(across)
	return ((n+b+a+c+8+2*(b+a))>>3 + n) >> 1
}

// clip6 drops six bits of fraction and clips to a byte.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
