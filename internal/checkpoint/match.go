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
	wanted     int     // tensors of the model that are to be taken
	skipped    []string
	missing    []string // names of the model's
	unexpected []string // names of the file's
	misfits    []string // what is wrong with a tensor, in words
}

// match compares tensors with the layout's. Tensors that skip names (by the model's names) are not taken from a file; nil skips none.
func (l *Layout) match(entries []entry, skip func(name string) bool) *match {
	m := &match{entries: entries, slots: make([]*slot, len(entries))}
	want, names := l.wanted()
	wrapper, found := wrapperOf(entries, want), map[string]bool{}
	for i := range entries {
		e := &entries[i]
		name := strings.TrimPrefix(e.name, wrapper)
		d := want[name]
		switch {
		case skip != nil && skip(name) || d == nil && e.counts(name, want):
			continue
		case d == nil:
			m.unexpected = append(m.unexpected, e.name)
			continue
		case e.dtype != "F32" && e.dtype != "F16" && e.dtype != "BF16":
			m.misfits = append(m.misfits, fmt.Sprintf("tensor %s is %s, want F32, F16 or BF16", printable.Line(e.name, maxNameBytes), e.dtype))
		case !slices.Equal(e.shape, d.shape):
			m.misfits = append(m.misfits, fmt.Sprintf("tensor %s has shape %v, the model wants %v", printable.Line(e.name, maxNameBytes), e.shape, d.shape))
		}
		m.slots[i], found[name] = d, true
	}
	for _, name := range names {
		switch {
		case skip != nil && skip(name):
			m.skipped = append(m.skipped, name)
			continue
		case !found[name]:
			m.missing = append(m.missing, name)
		}
		m.wanted++
	}
	return m
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
		err = readAs(r, e.dtype, s.vector(d.vector)[d.interval.Begin:d.interval.End])
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
