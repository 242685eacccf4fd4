package dataset

// values, tokens and targets are the columns of a batch of images or of text.
func (b *Batch) values() []float32 { return b.Columns[0].Floats }
func (b *Batch) tokens() []int32   { return b.Columns[0].Ints }
func (b *Batch) targets() []int32  { return b.Columns[1].Ints }
