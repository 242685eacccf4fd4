package augment

import (
	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// Eraser is torchvision's RandomErasing, of pictures of numbers. It is immutable.
type Eraser struct{ chance }

// NewEraser is the eraser of an entry of data.augment for pictures of a size.
func NewEraser(c config.Augmentation, size Size) *Eraser { return &Eraser{chance{size, c}} }

// Apply erases a part of a picture where it is, as the key draws.
func (o *Eraser) Apply(values []float32, key rng.Key) {
	if !o.applied(key) {
		return
	}
	s := o.size
	for try := range maxTries {
		if rows, columns := tried(key, try, s, o.config.Scale, o.config.Ratio); rows < s.Rows && columns < s.Columns {
			o.erase(values, placed(key, try, s, rows, columns), key)
			return
		}
	}
}

// streamNoise is the stream of the noise that a part is filled with.
const streamNoise = 1

// erase fills a part with the configured values, or with noise of mean 0 and deviation 1.
func (o *Eraser) erase(values []float32, part box, key rng.Key) {
	noise := key.Derive(streamNoise)
	for c := range o.size.Channels {
		for y := range part.rows {
			row := values[c*o.size.Plane()+(part.top+y)*o.size.Columns+part.left:][:part.columns]
			if o.config.Noise {
				noise.FillNormal(row, uint64((c*part.rows+y)*part.columns), 0, 1)
				continue
			}
			value := float32(o.config.Value[min(c, len(o.config.Value)-1)])
			for x := range row {
				row[x] = value
			}
		}
	}
}
