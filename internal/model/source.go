package model

import (
	"math"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
)

// readsImages and readsSequences are the kinds that can only mean such a sample.
var (
	readsImages    = []string{"conv", "conv_transpose", "max_pool", "average_pool", "global_max_pool", "global_average_pool", "upsample", "to_sequence"}
	readsSequences = []string{"lstm", "gru", "attention", "positions", "transpose", "last_step"}
)

// wants reports whether a layer can only mean a sample of one of the kinds.
func wants(l config.Layer, kinds []string) bool {
	return slices.Contains(kinds, l.Kind) || l.Kind == "residual" && len(l.Stack) > 0 && wants(l.Stack[0], kinds)
}

// source is how a field of the data comes into a model.
type source struct {
	field *dataset.Field
	gives shape
}

// newSource finds what a field means to the layers that read it, of which the first stands at the key: values that make a square are
// images for those that read images, and two axes are a sequence for those that read sequences, else images of one channel.
func newSource(at string, field *dataset.Field, readers []config.Layer) (source, error) {
	s := source{field: field}
	data := field.Shape
	image := slices.IndexFunc(readers, func(l config.Layer) bool { return wants(l, readsImages) })
	switch {
	case field.Type == dataset.Int32 && field.Classes > 0 && len(data) == 1 && !field.Ragged:
		s.gives = shape{form: tokens, dims: data, field: field.Name, vocabulary: field.Classes}
	case field.Type != dataset.Float32 || field.Ragged || len(data) > 3:
		return s, config.KeyErrorf(at, "layers read numbers or tokens of one length, but the data has %s", field)
	case len(data) == 3:
		s.gives = imagesOf(data[0], data[1], data[2])
	case len(data) == 2 && slices.ContainsFunc(readers, func(l config.Layer) bool { return wants(l, readsSequences) }):
		s.gives = sequenceOf(data[0], data[1])
	case len(data) == 2:
		s.gives = imagesOf(1, data[0], data[1])
	case image >= 0:
		edge := int(math.Sqrt(float64(field.Width())))
		if edge*edge != field.Width() {
			return s, config.KeyErrorf(at, "%s takes images but the data has %s a sample, which make no square", readers[image].Kind, vectorOf(field.Width()))
		}
		s.gives = imagesOf(1, edge, edge)
	default:
		s.gives = vectorOf(field.Width())
	}
	return s, nil
}

// record gives the value that layers read; nil for tokens, which an embedding reads by itself.
func (s source) record(r *recorder) *tensor.Value {
	d := s.gives.dims
	switch {
	case s.gives.form == tokens:
		return nil
	case s.gives.form != images:
		return r.Floats(s.field.Name, append([]int{r.samples}, d...)...)
	case d[0] == 1: // one channel: first is last
		return r.Floats(s.field.Name, r.samples, d[1], d[2], 1)
	}
	return r.ChannelsLast(r.Floats(s.field.Name, r.samples, d[0], d[1], d[2]))
}
