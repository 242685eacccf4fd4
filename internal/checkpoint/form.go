package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
)

// Alias is what another ecosystem calls a tensor, and the order of its axes there: axis i there is axis Axes[i] here.
type Alias struct {
	Name string
	Axes []int
}

// Form is how files of another ecosystem hold a model's tensors.
type Form struct {
	Aliases map[string]Alias  // by the model's names; a tensor without one is there as it is here
	Prefix  string            // of names, which files may leave out
	Endings map[string]string // of old names, and what they are now: ".gamma" is ".weight"
	Extras  map[string]Extra  // by their names there: tensors that files may have beside the model's
	Shared  map[string]string // tensors of the model that files may lack, since they equal another one: by the model's names
}

// Extra is a tensor of another ecosystem's files that the model does not have. With neither field it holds nothing that the model could
// use, and is passed over.
type Extra struct {
	Equals string // the model's tensor that it must be equal to
	Zeros  []int  // its shape, where it must be zero, since the model does without it
	Else   string // what to do where it is not so
}

// WithForm adds to the layout, which it returns, how another ecosystem's files hold its tensors. Such files are read too.
func (l *Layout) WithForm(form Form) *Layout {
	l.form = form
	return l
}

// view is the tensors that a file may have, by its names: the model's own, or those of another ecosystem.
type view struct {
	form    *Form
	targets map[string]target
	wrapper string // before all names of the file
}

// target is where a tensor of a file belongs.
type target struct {
	*slot
	axes []int // nil: as they are
}

// view makes the view with these aliases of what is wanted.
func (l *Layout) view(want map[string]*slot, aliases map[string]Alias) *view {
	v := &view{form: &l.form, targets: map[string]target{}}
	for name, s := range want {
		if alias := aliases[name]; alias.Name != "" {
			v.targets[alias.Name] = target{s, alias.Axes}
		} else {
			v.targets[name] = target{s, nil}
		}
	}
	return v
}

// known reports whether a name is a target's or an extra's.
func (v *view) known(name string) bool {
	_, extra := v.form.Extras[name]
	return v.targets[name].slot != nil || extra
}

// find is the name of the target or the extra that a file calls name; "" where there is none.
func (v *view) find(name string) string {
	name = strings.TrimPrefix(name, v.wrapper)
	for _, prefix := range []string{"", v.form.Prefix} {
		if v.known(prefix + name) {
			return prefix + name
		}
		for old, now := range v.form.Endings {
			if rest, is := strings.CutSuffix(name, old); is && v.known(prefix+rest+now) {
				return prefix + rest + now
			}
		}
	}
	return ""
}

// fits counts the tensors of a file that are as the view has them.
func (v *view) fits(entries []entry) (n int) {
	for i := range entries {
		if t := v.targets[v.find(entries[i].name)]; t.slot != nil && slices.Equal(entries[i].shape, shapeThere(t.shape, t.axes)) {
			n++
		}
	}
	return n
}

// viewOf is the view that a file goes by: that of the other ecosystem where more of its tensors fit it.
func (l *Layout) viewOf(entries []entry, want map[string]*slot) *view {
	own, there := l.view(want, nil), l.view(want, l.form.Aliases)
	own.wrapper = wrapperOf(entries, func(name string) bool { return own.find(name) != "" })
	there.wrapper = wrapperOf(entries, func(name string) bool { return there.find(name) != "" })
	if len(l.form.Aliases) > 0 && there.fits(entries) > own.fits(entries) {
		return there
	}
	return own
}

// check compares the extras with what they must be, by the digests of all tensors' bytes.
func (m *match) check(sums []Hash) error {
	for _, c := range m.checks {
		e := &m.entries[c.entry]
		name := printable.Line(e.name, maxNameBytes)
		if c.of < 0 {
			zeros := sha256.New()
			if _, err := io.CopyN(zeros, zeroReader{}, e.end-e.begin); err != nil {
				return err
			}
			if [sha256.Size]byte(zeros.Sum(nil)) != sums[c.entry] {
				return fmt.Errorf("tensor %s is not zero, and the model has no such tensor: %s", name, c.advice)
			}
			continue
		}
		of := &m.entries[c.of]
		if e.dtype != of.dtype || !slices.Equal(e.shape, of.shape) || sums[c.entry] != sums[c.of] {
			return fmt.Errorf("tensor %s differs from %s, and in the model they are one: %s", name, printable.Line(of.name, maxNameBytes), c.advice)
		}
	}
	return nil
}

// zeroReader is zeros without end.
type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// share copies tensors that the file did not have from those that they equal.
func (m *match) share(s *State) {
	for _, c := range m.copies {
		copy(s.vector(c[0].vector)[c[0].interval.Begin:c[0].interval.End], s.vector(c[1].vector)[c[1].interval.Begin:c[1].interval.End])
	}
}

// Piece is a tensor as files of another ecosystem hold it.
type Piece struct {
	Name  string
	Bytes int64

	slot    slot // by its name and shape there; of vectorZeros: zeros
	shape   []int
	axes    []int
	counter bool // of batches, an I64
}

// vectorZeros is the vector of tensors that the model does not have and that are zero.
const vectorZeros = -1

// Pieces are the model's tensors in the other ecosystem's form, or in the model's own where it has none. Tensors that must be zero follow.
func (l *Layout) Pieces() []Piece {
	want, names := l.wanted()
	var pieces []Piece
	for _, name := range names {
		s := want[name]
		p := Piece{Name: name, slot: *s, shape: s.shape, Bytes: 4 * int64(s.interval.Len())}
		if alias := l.form.Aliases[name]; alias.Name != "" {
			p.Name, p.axes = alias.Name, alias.Axes
			p.slot.name, p.slot.shape = alias.Name, shapeThere(s.shape, alias.Axes)
		}
		pieces = append(pieces, p)
		if counters := countersOf([]slot{p.slot}); len(counters) > 0 {
			pieces = append(pieces, Piece{Name: counters[0], Bytes: 8, counter: true})
		}
	}
	var zeros []string
	for name, extra := range l.form.Extras {
		if extra.Zeros != nil {
			zeros = append(zeros, name)
		}
	}
	slices.Sort(zeros)
	for _, name := range zeros {
		n, _ := elements(l.form.Extras[name].Zeros)
		s := slot{name, l.form.Extras[name].Zeros, run{vectorZeros, plan.Interval{End: int(n)}}}
		pieces = append(pieces, Piece{Name: name, Bytes: 4 * n, slot: s})
	}
	return pieces
}

// WritePieces writes pieces of the layout as one safetensors file that says where its values come from.
func (l *Layout) WritePieces(w io.Writer, pieces []Piece, s *State, o Origin) error {
	if err := l.fits(s); err != nil {
		return err
	}
	var slots []slot
	var counters []string
	for _, p := range pieces {
		if p.counter {
			counters = append(counters, p.Name)
		} else {
			slots = append(slots, p.slot)
		}
	}
	if _, err := w.Write(slices.Concat(encodeHeader(o.metadata(), counters, slots), counts(counters, s.Step))); err != nil {
		return err
	}
	buf := make([]byte, 4*chunkFloats)
	for _, p := range pieces {
		if p.counter {
			continue
		}
		if err := writeFloats(w, buf, p.Values(s)); err != nil {
			return err
		}
	}
	return nil
}

// Values are the piece's values in a state, in the order in which they are written. They must not be changed.
func (p *Piece) Values(s *State) []float32 {
	if p.slot.vector == vectorZeros {
		return make([]float32, p.slot.interval.Len())
	}
	values := s.vector(p.slot.vector)[p.slot.interval.Begin:p.slot.interval.End]
	if p.axes == nil {
		return values
	}
	back := make([]int, len(p.axes)) // axis k here is axis back[k] there
	for there, here := range p.axes {
		back[here] = there
	}
	out := make([]float32, len(values))
	turn(out, values, p.slot.shape, back)
	return out
}
