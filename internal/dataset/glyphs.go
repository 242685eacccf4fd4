package dataset

import (
	"crypto/sha256"

	"ringmaster/internal/dataset/glyphs"
)

// openGlyphs makes the embedded digits. Inputs are pixels/255, a vector of 784 values.
func openGlyphs() (*Data, error) {
	train, eval, err := glyphs.Generate()
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: numberNames(digits)}
	d.Train = glyphSet(d, "glyphs/train", train)
	d.Eval = glyphSet(d, "glyphs/eval", eval)
	d.Schema = d.Train.(*pixels).schema
	return d, nil
}

func glyphSet(d *Data, name string, pictures glyphs.Pictures) *pixels {
	const plane = glyphs.Side * glyphs.Side
	p := &pixels{
		schema: imageSchema([]int{plane}, digits, numberNames(digits)),
		values: pictures.Values,
		labels: make([]uint16, len(pictures.Labels)),
		scales: []*scale{unitScale()},
		plane:  plane, columns: glyphs.Side,
	}
	for i, label := range pictures.Labels {
		p.labels[i] = uint16(label)
	}
	h := sha256.New()
	h.Write(pictures.Values)
	h.Write(pictures.Labels)
	d.Files = append(d.Files, FileSum{name, [sha256.Size]byte(h.Sum(nil))})
	return p
}
