package dataset

import (
	"crypto/sha256"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/glyphs"
)

// openGlyphs makes the embedded digits. Inputs are pixels/255, a vector of 784 values.
func openGlyphs(c config.Data) (*Data, error) {
	train, eval, err := glyphs.Generate()
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: numberNames(digits), pixels: greyPixels(glyphs.Side, glyphs.Side)}
	d.pixels.entries = c.Augment
	return d, d.sets(glyphReader(d, "glyphs/train", train), glyphReader(d, "glyphs/eval", eval), d.pixels.transforms()...)
}

// greyPixels is the transform of pictures of one channel into pixels/255.
func greyPixels(rows, columns int) *pixels {
	return &pixels{shape: []int{rows * columns}, scales: []*scale{unitScale()}, plane: rows * columns, columns: columns}
}

func glyphReader(d *Data, name string, g glyphs.Pictures) *pictures {
	const plane = glyphs.Side * glyphs.Side
	p := &pictures{schema: pictureSchema([]int{glyphs.Side, glyphs.Side}, digits, numberNames(digits)), width: plane, values: g.Values, labels: make([]int32, len(g.Labels))}
	for i, label := range g.Labels {
		p.labels[i] = int32(label)
	}
	h := sha256.New()
	h.Write(g.Values)
	h.Write(g.Labels)
	d.Files = append(d.Files, FileSum{name, [sha256.Size]byte(h.Sum(nil))})
	return p
}
