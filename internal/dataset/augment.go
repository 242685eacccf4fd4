package dataset

import (
	"ringmaster/internal/config"
	"ringmaster/internal/dataset/augment"
	"ringmaster/internal/rng"
)

// Streams of the entries of data.augment below a seat's key, by their places in the list, and that of mixing, of which there is one.
const (
	streamEntry = streamAugment + 1
	streamMix   = streamAugment + 1<<16
)

// transforms are what pictures are taken through: in training first what changes their bytes, then into numbers, then what changes those.
func (p *pixels) transforms() []Transform {
	size := augment.Size{Channels: len(p.scales), Rows: p.plane / p.columns, Columns: p.columns}
	var all, after []Transform
	for i, entry := range p.entries {
		stream := uint64(streamEntry + i)
		if op := augment.New(entry, size); op != nil {
			all = append(all, &alteration{op, stream})
		} else if entry.Kind == config.AugmentErase {
			after = append(after, &erasure{augment.NewEraser(entry, size), stream})
		}
	}
	all = append(append(all, p), after...)
	if m := augment.NewMixer(p.entries, size); m != nil {
		all = append(all, &mixture{m, size.Bytes()})
	}
	return all
}

// alteration is the transform of pictures of bytes by one operation.
type alteration struct {
	operation augment.Operation
	stream    uint64
}

// Fields implements Transform.
func (a *alteration) Fields(schema Schema) ([]string, []Field, error) {
	return []string{pixelsField}, []Field{schema[schema.Find(pixelsField)]}, nil
}

// Apply implements Transform.
func (a *alteration) Apply(out, in []Value, draw Draw) {
	if draw.Off() || !a.operation.Apply(out[0].Bytes, in[0].Bytes, out[0].spare, draw.Key(a.stream)) {
		out[0].Bytes = in[0].Bytes
	}
	out[0].Ahead = in[0].Ahead
}

// takesLong says that reading gains by reading ahead, even from memory.
func (a *alteration) takesLong() {}

// erasure is the transform that erases parts of pictures of numbers.
type erasure struct {
	eraser *augment.Eraser
	stream uint64
}

// Fields implements Transform.
func (e *erasure) Fields(schema Schema) ([]string, []Field, error) {
	return []string{pixelsField}, []Field{schema[schema.Find(pixelsField)]}, nil
}

// Apply implements Transform.
func (e *erasure) Apply(out, in []Value, draw Draw) {
	copy(out[0].Floats, in[0].Floats)
	if !draw.Off() {
		e.eraser.Apply(out[0].Floats, draw.Key(e.stream))
	}
}

// The fields of mixed classes: a sample is of its target by its share, and of the second by the rest.
const (
	SecondField = "second"
	ShareField  = "share"
)

// mixture is the transform that mixes the pictures of a micro-batch with each other, and their targets with them. Targets that are numbers
// are mixed like the pictures. Of classes the one with the larger share is the target.
type mixture struct {
	mixer *augment.Mixer
	width int // numbers of a picture
}

// Fields implements Transform.
func (m *mixture) Fields(schema Schema) ([]string, []Field, error) {
	target, err := schema.Only(Target)
	if err != nil {
		return nil, nil, config.KeyErrorf("data.augment", "mixup and cutmix mix the target too, but %w", err)
	}
	if inputs := schema.Of(Input); len(inputs) > 1 {
		return nil, nil, config.KeyErrorf("data.augment", "mixup and cutmix mix pictures, but the data has other inputs beside them, such as %s", inputs[1].Name)
	}
	if target.Type == Float32 && !target.Ragged {
		return nil, nil, nil
	}
	if target.Type != Int32 || len(target.Shape) > 0 || target.Classes < 1 {
		return nil, nil, config.KeyErrorf("data.augment", "mixup and cutmix mix classes or numbers, but the target is %s", target)
	}
	second := *target
	second.Name, second.Role = SecondField, Second
	return []string{target.Name}, []Field{*target, second, {Name: ShareField, Type: Float32, Role: Share}}, nil
}

// Apply implements Transform: nothing is mixed yet.
func (m *mixture) Apply(out, in []Value, _ Draw) {
	if len(out) == 0 {
		return
	}
	out[0].Ints[0], out[1].Ints[0], out[2].Floats[0] = in[0].Ints[0], in[0].Ints[0], 1
}

// blend implements blending.
func (m *mixture) blend(b *Batch, schema Schema, spare []float32, key rng.Key) {
	share := m.mixer.Mix(b.Columns[schema.Find(pixelsField)].Floats, b.N, spare, key.Derive(streamMix))
	if share == 1 {
		return
	}
	if k := schema.Find(SecondField); k >= 0 {
		mixClasses(b.Columns[k-1].Ints[:b.N], b.Columns[k].Ints, b.Columns[k+1].Floats, share)
		return
	}
	for k := range schema {
		if schema[k].Role == Target {
			augment.MixUp(b.Columns[k].Floats, b.N, spare, share)
		}
	}
}

// room implements blending.
func (m *mixture) room(schema Schema) int {
	room := m.width
	for _, f := range schema.Of(Target) {
		room = max(room, f.Width())
	}
	return room
}

// mixClasses gives each sample the class of the one before it as its second, and as its target where that has the larger share.
func mixClasses(targets, seconds []int32, shares []float32, share float64) {
	last := targets[len(targets)-1]
	for j := len(targets) - 1; j >= 0; j-- {
		before := last
		if j > 0 {
			before = targets[j-1]
		}
		seconds[j], shares[j] = before, float32(share)
		if share < 0.5 {
			targets[j], seconds[j], shares[j] = before, targets[j], float32(1-share)
		}
	}
}
