package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// match says where each tensor of a file belongs among a model's parameters and statistics, and which ones do not fit.
type match struct {
	entries    []entry
	slots      []*slot // by entry; nil: nowhere, since it is passed over or not the model's
	axes       [][]int // by entry: of a tensor that has its name in another ecosystem
	alias      bool    // some have
	wanted     int     // tensors of the model that are to be taken
	skipped    []string
	missing    []string // names of the model's
	unexpected []string // names of the file's
	misfits    []string // what is wrong with a tensor, in words
}

// match compares tensors with the layout's. Tensors that skip names (by the model's names) are not taken from a file; nil skips none.
func (l *Layout) match(entries []entry, skip func(name string) bool) *match {
	m := &match{entries: entries, slots: make([]*slot, len(entries)), axes: make([][]int, len(entries))}
	want, names := l.wanted()
	other := map[string]*slot{}
	for name, alias := range l.aliases {
		other[alias.Name] = want[name]
	}
	wrapper, found := wrapperOf(entries, want), map[string]bool{}
	for i := range entries {
		e := &entries[i]
		name := strings.TrimPrefix(e.name, wrapper)
		d := want[name]
		var axes []int
		if d == nil && other[e.name] != nil {
			d, m.alias = other[e.name], true
			name, axes = d.name, l.aliases[d.name].Axes
		}
		switch {
		case skip != nil && skip(name) || d == nil && e.counts(name, want):
			continue
		case d == nil:
			m.unexpected = append(m.unexpected, e.name)
			continue
		case e.dtype != "F32" && e.dtype != "F16" && e.dtype != "BF16":
			m.misfits = append(m.misfits, fmt.Sprintf("tensor %s is %s, want F32, F16 or BF16", printable.Line(e.name, maxNameBytes), e.dtype))
		case !slices.Equal(e.shape, shapeThere(d.shape, axes)):
			m.misfits = append(m.misfits, fmt.Sprintf("tensor %s has shape %v, the model wants %v", printable.Line(e.name, maxNameBytes), e.shape, shapeThere(d.shape, axes)))
		case found[name]:
			m.misfits = append(m.misfits, fmt.Sprintf("tensor %s is there twice, by two names", printable.Line(name, maxNameBytes)))
		}
		m.slots[i], m.axes[i], found[name] = d, axes, true
	}
	for _, name := range names {
		switch {
		case skip != nil && skip(name):
			m.skipped = append(m.skipped, name)
			continue
		case !found[name] && m.alias && l.aliases[name].Name != "":
			m.missing = append(m.missing, l.aliases[name].Name)
		case !found[name]:
			m.missing = append(m.missing, name)
		}
		m.wanted++
	}
	return m
}

// forgo does without missing tensors that are optional.
func (m *match) forgo(optional func(name string) bool) {
	if optional == nil {
		return
	}
	missing := m.missing
	m.missing = nil
	for _, name := range missing {
		if optional(name) {
			m.skipped, m.wanted = append(m.skipped, name), m.wanted-1
		} else {
			m.missing = append(m.missing, name)
		}
	}
}

// shapeThere is a tensor's shape with its axes in the order of another ecosystem; nil: of this one.
func shapeThere(shape, axes []int) []int {
	if axes == nil {
		return shape
	}
	there := make([]int, len(shape))
	for i, axis := range axes {
		there[i] = shape[axis]
	}
	return there
}

// turn writes src, whose axis i is axis axes[i] of dst, into dst, which has the shape.
func turn(dst, src []float32, shape, axes []int) {
	strides, size := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = size
		size *= shape[i]
	}
	index := make([]int, len(shape)) // of src
	for _, v := range src {
		at := 0
		for i, k := range index {
			at += k * strides[axes[i]]
		}
		dst[at] = v
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < shape[axes[i]] {
				break
			}
			index[i] = 0
		}
	}
}

// wanted are the slots of the model's parameters and statistics by name, and the names in the order of the files.
func (l *Layout) wanted() (map[string]*slot, []string) {
	want := map[string]*slot{}
	var names []string
	for _, s := range l.shares {
		if s.kind != kindModel && s.kind != kindStats {
			continue
		}
		for i := range s.dests {
			want[s.dests[i].name] = &s.dests[i]
			names = append(names, s.dests[i].name)
		}
	}
	return want, names
}

// fault is why the tensors cannot be taken, in one line. A loose match may lack tensors, and have others than the model's.
func (m *match) fault(loose bool) error {
	taken := m.wanted - len(m.missing)
	var faults []string
	if !loose && len(m.missing) > 0 {
		faults = append(faults, fmt.Sprintf("%s missing; the file has %d of the model's %d", are(m.missing, "is", "are"), taken, m.wanted))
	}
	if !loose && len(m.unexpected) > 0 {
		faults = append(faults, are(m.unexpected, "is not one of", "are not")+" the model's")
	}
	if loose && taken == 0 {
		faults = append(faults, "no tensor of the file is one of the model's")
	}
	if n := len(m.misfits); n > mostNamed {
		faults = append(faults, m.misfits[:mostNamed]...)
		faults = append(faults, fmt.Sprintf("%d more do not fit", n-mostNamed))
	} else {
		faults = append(faults, m.misfits...)
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// read takes the values of the next tensor, entries[i], from r to where they belong in s, or nowhere.
func (m *match) read(i int, r io.Reader, s *State) error {
	e, d := &m.entries[i], m.slots[i]
	var err error
	if d == nil || s == nil {
		_, err = io.CopyN(io.Discard, r, e.end-e.begin)
	} else {
		values := s.vector(d.vector)[d.interval.Begin:d.interval.End]
		into := values
		if m.axes[i] != nil {
			into = make([]float32, len(values))
		}
		if err = readAs(r, e.dtype, into); m.axes[i] != nil {
			turn(values, into, d.shape, m.axes[i])
		}
	}
	if err != nil {
		return fmt.Errorf("tensor %s: %w", printable.Line(e.name, maxNameBytes), short(err))
	}
	return nil
}

// mostNamed is the largest number of tensors that a message names.
const mostNamed = 4

// Named lists names of tensors, of many the first ones: "a, b, c, d and 3 more".
func Named(names []string) string {
	clipped := make([]string, min(len(names), mostNamed))
	for i := range clipped {
		clipped[i] = printable.Line(names[i], maxNameBytes)
	}
	line := strings.Join(clipped, ", ")
	if more := len(names) - len(clipped); more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return line
}

// are is "tensor a is" or "tensors a and b are" with the verbs given.
func are(names []string, one, several string) string {
	if len(names) == 1 {
		return "tensor " + printable.Line(names[0], maxNameBytes) + " " + one
	}
	return "tensors " + Named(names) + " " + several
}
