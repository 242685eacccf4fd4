package loss

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
)

// Part is one of the losses that a model is trained by.
type Part struct {
	Loss
	Output string  // the node whose value it compares; empty: the model's only output
	Factor float32 // of its part in the sum
}

// several is the sum of losses of several outputs, each times a factor. Of what there is one of, such as metrics, it is the first.
type several struct {
	Loss
	parts []Part
}

// PartsOf are the losses that l is the sum of: l alone, unless the job lists several.
func PartsOf(l Loss) []Part {
	if s, is := l.(*several); is {
		return s.parts
	}
	return []Part{{Loss: l, Factor: 1}}
}

// newSeveral makes the losses that the job lists.
func newSeveral(cfg config.Train, schema dataset.Schema) (Loss, error) {
	s := &several{}
	for k, each := range cfg.Losses {
		key := fmt.Sprintf("train.losses[%d]", k)
		one := cfg
		one.Losses, one.Loss, one.Target, one.LabelSmoothing = nil, each.Kind, each.Target, 0
		if each.Kind == config.LossCrossEntropy {
			one.LabelSmoothing = cfg.LabelSmoothing
		}
		l, err := New(one, schema)
		if of, is := errors.AsType[*config.KeyError](err); is {
			text := strings.TrimPrefix(of.Error(), of.Key+": ")
			return nil, config.KeyErrorf(key, "%s", strings.ReplaceAll(text, "set train.loss:", "set its kind:"))
		}
		if err != nil {
			return nil, err
		}
		if l.Rows() != 1 || each.Kind == config.LossBinary && l.Width() != 1 {
			return nil, config.KeyErrorf(key, "target %s has %d values a sample; of several losses each takes one class, one label or the numbers of a sample", each.Target, l.Target().Width())
		}
		if slices.ContainsFunc(s.parts, func(p Part) bool { return p.Target() == l.Target() && p.Output == each.Output }) {
			return nil, config.KeyErrorf(key, "output %s is compared with target %s twice", each.Output, each.Target)
		}
		s.parts = append(s.parts, Part{l, each.Output, float32(each.Weight)})
	}
	s.Loss = s.parts[0].Loss
	return s, nil
}
