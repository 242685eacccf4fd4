package checkpoint

import (
	"crypto/sha256"
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
	wanted     int     // tensors of the model that are to be taken
	skipped    []string
	passed     []string    // names of the file's that hold nothing for the model
	missing    []string    // names of the model's
	unexpected []string    // names of the file's
	misfits    []string    // what is wrong with a tensor, in words
	checks     []agreement // of tensors that must be as others are, or zero
	copies     [][2]*slot  // tensors that the file lacks, and those that they equal
}

// agreement is that a tensor of a file has the bytes of another one, or zeros.
type agreement struct {
	entry, of int    // of -1: zeros
	advice    string // what to do where it is not so
}

// match compares tensors with the layout's. Tensors that skip names (by the model's names) are not taken from a file; nil skips none.
func (l *Layout) match(entries []entry, skip func(name string) bool) *match {
	m := &match{entries: entries, slots: make([]*slot, len(entries)), axes: make([][]int, len(entries))}
	want, names := l.wanted()
	v := l.viewOf(entries, want)
	from := v.resolve(entries)
	found := map[string]int{} // the entry of a tensor of the model, by the model's names
	for i := range entries {
		t, extra := v.targets[from[i]], l.form.Extras[from[i]]
		name := strings.TrimPrefix(entries[i].name, v.wrapper)
		if t.slot != nil {
			name = t.name
		}
		switch {
		case skip != nil && skip(name) || from[i] == "" && entries[i].counts(name, want):
		case t.slot != nil:
			m.take(i, t, found)
		case from[i] == "":
			m.unexpected = append(m.unexpected, entries[i].name)
		case extra.Zeros != nil:
			m.checks = append(m.checks, agreement{i, -1, extra.Else})
		case extra.Equals == "":
			m.passed = append(m.passed, entries[i].name)
		}
	}
	for i := range entries {
		extra := l.form.Extras[from[i]]
		if of, is := found[extra.Equals]; is && v.targets[from[i]].slot == nil {
			m.checks = append(m.checks, agreement{i, of, extra.Else})
		}
	}
	m.lack(v, names, found, skip)
	return m
}

// resolve says for each tensor of a file of which target or extra it is, by its name in the view; "": of none. A copy of a tensor that the file
// does not have itself is that tensor.
func (v *view) resolve(entries []entry) []string {
	from, there := make([]string, len(entries)), map[string]bool{}
	for i := range entries {
		from[i] = v.find(entries[i].name)
		there[from[i]] = true
	}
	for i, name := range from {
		if of := v.form.Extras[name].Equals; of != "" && v.targets[name].slot == nil && v.targets[of].slot != nil && !there[of] {
			from[i], there[of] = of, true
		}
	}
	return from
}

// take notes that entry i is the target's.
func (m *match) take(i int, t target, found map[string]int) {
	e := &m.entries[i]
	_, twice := found[t.name]
	switch {
	case e.dtype != "F32" && e.dtype != "F16" && e.dtype != "BF16":
		m.misfits = append(m.misfits, fmt.Sprintf("tensor %s is %s, want F32, F16 or BF16", printable.Line(e.name, maxNameBytes), e.dtype))
	case !slices.Equal(e.shape, shapeThere(t.shape, t.axes)):
		m.misfits = append(m.misfits, fmt.Sprintf("tensor %s has shape %v, the model wants %v", printable.Line(e.name, maxNameBytes), e.shape, shapeThere(t.shape, t.axes)))
	case twice:
		m.misfits = append(m.misfits, fmt.Sprintf("tensor %s is there twice, by two names", printable.Line(t.name, maxNameBytes)))
	}
	m.slots[i], m.axes[i], found[t.name] = t.slot, t.axes, i
}

// lack notes which tensors of the model, by names in the order of the files, were not found.
func (m *match) lack(v *view, names []string, found map[string]int, skip func(name string) bool) {
	there := map[string]string{}
	for name, t := range v.targets {
		there[t.name] = name
	}
	for _, name := range names {
		if skip != nil && skip(name) {
			m.skipped = append(m.skipped, name)
			continue
		}
		m.wanted++
		if _, is := found[name]; is {
			continue
		}
		if of, is := found[v.form.Shared[name]]; is {
			m.copies = append(m.copies, [2]*slot{v.targets[there[name]].slot, m.slots[of]})
			continue
		}
		m.missing = append(m.missing, there[name])
	}
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

// readHashed is read that also takes the digest of the tensor's bytes.
func (m *match) readHashed(i int, r io.Reader, s *State, sums []Hash) error {
	hashed := sha256.New()
	if err := m.read(i, io.TeeReader(r, hashed), s); err != nil {
		return err
	}
	hashed.Sum(sums[i][:0])
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
