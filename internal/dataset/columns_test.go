package dataset

import "ringmaster/internal/rng"

// picturesLike is data without pictures whose pixels are made into numbers so.
func picturesLike(p *pixels) *Data {
	d := &Data{pixels: p}
	if err := d.sets(&pictures{schema: pictureSchema(p.shape, 10, nil), width: p.plane * len(p.scales)}, nil, p); err != nil {
		panic(err)
	}
	return d
}

// textOf is the data of windows of a text.
func textOf(t interface{ Fatal(...any) }, w *windows) *Data {
	d := &Data{}
	if err := d.sets(w, nil, successors{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func windowsOf(s Set) *windows { return s.(*records).Reader.(*windows) }

// values, tokens and targets are the columns of a batch of images or of text.
func (b *Batch) values() []float32 { return b.Columns[0].Floats }
func (b *Batch) tokens() []int32   { return b.Columns[0].Ints }
func (b *Batch) targets() []int32  { return b.Columns[1].Ints }

var testKey = rng.SeatKey(1, 2, 3, 0)
