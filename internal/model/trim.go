package model

import "ringmaster/internal/dataset"

// widths are how long the samples of a batch are taken, by column, of fields that are trimmed; 0: as long as the field is.
type widths [4]int32

// trims reports whether some field is trimmed.
func (m *Model) trims() bool {
	for k := range m.schema {
		if m.schema[k].Trimmed {
			return true
		}
	}
	return false
}

// widthsOf are how long the trimmed fields of a batch of training must be: as its longest sample, rounded up to a sixteenth of the field, so that
// there are few programs. What a batch has decides them, and nothing else does.
func (m *Model) widthsOf(batch *dataset.Batch) (w widths) {
	longest := 0 // of the targets, which what a decoder reads goes with
	for k := range m.schema {
		f, column := &m.schema[k], &batch.Columns[k]
		switch {
		case !f.Trimmed:
		case f.Ragged:
			most := int32(0)
			for _, n := range column.Lengths[:batch.N] {
				most = max(most, n)
			}
			w[k] = rounded(int(most), f.Width())
		case f.Role == dataset.Target:
			longest = counted(column.Ints[:batch.N*f.Width()], f.Width())
		}
	}
	for k := range m.schema {
		if f := &m.schema[k]; f.Trimmed && !f.Ragged {
			w[k] = rounded(longest, f.Width())
		}
	}
	return w
}

// counted is the length of the longest row whose end counts: what is negative counts for nothing.
func counted(values []int32, width int) int {
	longest := 0
	for ; len(values) > 0; values = values[width:] {
		for longest < width && values[longest] >= 0 {
			longest++
		}
	}
	return longest
}

// rounded is a length rounded up to a sixteenth of the width.
func rounded(length, width int) int32 {
	part := (width + 15) / 16
	return int32(min(width, max(1, (length+part-1)/part)*part))
}

// trimmed is the shape of a field as the program takes it. The samples' length is in the last axis.
func (r *recorder) trimmed(column int, shape []int) []int {
	if column >= len(r.widths) || r.widths[column] == 0 {
		return shape
	}
	out := append([]int(nil), shape...)
	out[len(out)-1] = out[len(out)-1] / r.model.schema[column].Width() * int(r.widths[column])
	return out
}

// trim copies the beginnings of n rows.
func trim(to, from []int32, n int) {
	short, long := len(to)/n, len(from)/n
	for i := range n {
		copy(to[i*short:(i+1)*short], from[i*long:])
	}
}
