package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
)

// maxShares bounds the files of a kind: enough for every disk and link of a cluster to be busy.
const maxShares = 16

// Layout says which files a job's checkpoints have and which tensors are in each. It is a function of the tensors, the
// optimizer's buffers and the seats alone, and immutable.
type Layout struct {
	params, stats []Tensor
	optim         []string
	paramLen      int
	optimLen      int // of a buffer of the optimizer
	statLen       int
	historyLen    int
	shares        []Share
	form          Form // may be empty
}

// Share is one file of a checkpoint.
type Share struct {
	Name  string // model-00001-of-00004.safetensors
	Index int    // in Layout.Shares
	Seat  int    // the worker of this seat writes the share
	Bytes int64  // size of the file

	kind   string
	header []byte
	runs   []run
	dests  []slot // in the file's order
}

// run is a contiguous interval of one flat vector, as it is written.
type run struct {
	vector   int
	interval plan.Interval
}

// slot is where a tensor of a file belongs.
type slot struct {
	name  string
	shape []int
	run
}

// The flat vectors of a state; an optimizer's buffer i is vectorOptim+i.
const (
	vectorParams = iota
	vectorStats
	vectorHistory
	vectorOptim
)

// NewLayout makes the layout of a job with this many seats. The tensors of each flat vector must cover it without holes
// or overlaps; stats and optim (the names of the optimizer's buffers, of what is not frozen) may be empty.
func NewLayout(seats int, params, stats []Tensor, optim []string) (*Layout, error) {
	if seats < 1 {
		return nil, fmt.Errorf("checkpoint layout: %d seats", seats)
	}
	l := &Layout{optim: slices.Clone(optim)}
	var err error
	if l.params, l.paramLen, err = cover(params); err != nil {
		return nil, fmt.Errorf("checkpoint layout: parameters: %w", err)
	}
	if l.paramLen == 0 {
		return nil, errors.New("checkpoint layout: the model has no parameters")
	}
	if l.stats, l.statLen, err = cover(stats); err != nil {
		return nil, fmt.Errorf("checkpoint layout: running statistics: %w", err)
	}
	for _, name := range optim {
		if name == "" || len(name) > 255 || !utf8.ValidString(name) {
			return nil, fmt.Errorf("checkpoint layout: %q is no name for an optimizer buffer", printable.Short(name, maxNameBytes))
		}
	}
	for _, t := range l.stats {
		if slices.ContainsFunc(l.params, func(p Tensor) bool { return p.Name == t.Name }) {
			return nil, fmt.Errorf("checkpoint layout: %s is both a parameter and a running statistic", t.Name)
		}
	}
	l.add(kindModel, l.params, balance(l.params, min(seats, len(l.params), maxShares)), seats, []int{vectorParams})
	trained := l.trained()
	if len(optim) > 0 && len(trained) == 0 {
		return nil, errors.New("checkpoint layout: every parameter is frozen")
	}
	if len(optim) > 0 {
		vectors := make([]int, len(optim))
		for i := range vectors {
			vectors[i] = vectorOptim + i
		}
		l.add(kindOptim, trained, balance(trained, min(seats, len(trained), maxShares)), seats, vectors)
	}
	if len(l.stats) > 0 {
		l.add(kindStats, l.stats, []int{0, len(l.stats)}, seats, []int{vectorStats})
	}
	return l, l.checkNames()
}

// trained are the parameters that are not frozen, at their places in the optimizer's buffers.
func (l *Layout) trained() []Tensor {
	var out []Tensor
	for _, t := range l.params {
		if !t.Frozen {
			t.Interval = plan.Interval{Begin: l.optimLen, End: l.optimLen + t.Interval.Len()}
			l.optimLen = t.Interval.End
			out = append(out, t)
		}
	}
	return out
}

// WithHistory adds the file of a run's history, with the noise of gradients or without, to the layout, which it returns.
func (l *Layout) WithHistory(noise bool) *Layout {
	tensors := historyTensorsOf(noise)
	l.historyLen = HistoryLen(noise)
	l.add(kindHistory, tensors, []int{0, len(tensors)}, 1, []int{vectorHistory})
	return l
}

// cover sorts tensors by their place and checks that they cover a flat vector from 0 on; it returns the vector's length.
func cover(tensors []Tensor) ([]Tensor, int, error) {
	sorted := slices.Clone(tensors)
	slices.SortStableFunc(sorted, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Interval.Begin, b.Interval.Begin), cmp.Compare(a.Interval.End, b.Interval.End))
	})
	at := 0
	for _, t := range sorted {
		if t.Name == "" || len(t.Name) > 1024 || t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return nil, 0, fmt.Errorf("%q is no name for a tensor", printable.Short(t.Name, maxNameBytes))
		}
		if t.Interval.Begin != at || t.Interval.End < at {
			return nil, 0, fmt.Errorf("tensor %s is at %v but the one before it ends at %d", t.Name, t.Interval, at)
		}
		n, ok := elements(t.Shape)
		if !ok || n != int64(t.Interval.Len()) {
			return nil, 0, fmt.Errorf("tensor %s has shape %v but %d values", t.Name, t.Shape, t.Interval.Len())
		}
		at = t.Interval.End
	}
	return sorted, at, nil
}

// balance cuts the tensors into n contiguous, non-empty runs; each border is placed where the bytes before it are closest to the
// even share. It returns the n+1 borders.
func balance(tensors []Tensor, n int) []int {
	total := int64(tensors[len(tensors)-1].Interval.End)
	bounds := make([]int, n+1)
	bounds[n] = len(tensors)
	for k := 1; k < n; k++ {
		want := total * int64(k) // in n-ths of a value
		best := bounds[k-1] + 1
		for i := best; i <= len(tensors)-(n-k); i++ {
			if distance(tensors, i, n, want) < distance(tensors, best, n, want) {
				best = i
			}
		}
		bounds[k] = best
	}
	return bounds
}

func distance(tensors []Tensor, border, n int, want int64) int64 {
	d := int64(tensors[border].Interval.Begin)*int64(n) - want
	return max(d, -d)
}

// add appends the shares of one kind. Each holds, for every vector, the tensors between two borders.
func (l *Layout) add(kind string, tensors []Tensor, bounds []int, seats int, vectors []int) {
	n := len(bounds) - 1
	for k := range n {
		part := tensors[bounds[k]:bounds[k+1]]
		s := Share{Name: shareName(kind, k, n), Index: len(l.shares), Seat: seatOf(k, n, seats), kind: kind}
		for _, v := range vectors {
			prefix := ""
			if v >= vectorOptim {
				prefix = l.optim[v-vectorOptim] + "."
			}
			for _, t := range part {
				s.dests = append(s.dests, slot{prefix + t.Name, t.Shape, run{v, t.Interval}})
			}
			s.runs = append(s.runs, run{v, plan.Interval{Begin: part[0].Interval.Begin, End: part[len(part)-1].Interval.End}})
		}
		s.header = encodeHeader(Origin{}.metadata(), nil, s.dests)
		s.Bytes = int64(len(s.header))
		for _, r := range s.runs {
			s.Bytes += 4 * int64(r.interval.Len())
		}
		l.shares = append(l.shares, s)
	}
}

// checkNames refuses two tensors of one name among the files of a kind.
func (l *Layout) checkNames() error {
	seen := map[string]bool{}
	for _, s := range l.shares {
		for _, d := range s.dests {
			key := s.kind + "/" + d.name
			if seen[key] {
				return fmt.Errorf("checkpoint layout: two tensors are named %s", d.name)
			}
			seen[key] = true
		}
	}
	return nil
}

// Shares are the files of a checkpoint in their order. They must not be changed.
func (l *Layout) Shares() []Share { return l.shares }

// Admit checks that a checkpoint has the layout's files, each of its size. One whose job has the same model and optimizer may be of an
// earlier build.
func (l *Layout) Admit(m *Manifest) error {
	if len(m.Files) != len(l.shares) {
		return fmt.Errorf("it has %d files, this job's model and optimizer make %d%s", len(m.Files), len(l.shares), ofEarlierBuild)
	}
	for i, f := range m.Files {
		if s := &l.shares[i]; f.Name != s.Name || f.Bytes != s.Bytes {
			return fmt.Errorf("it has a file %s of %d bytes, this job's model and optimizer make %s of %d%s", f.Name, f.Bytes, s.Name, s.Bytes, ofEarlierBuild)
		}
	}
	return nil
}

const ofEarlierBuild = " (earlier builds kept the optimizer's state of frozen parameters too): begin a new job from its weights by model.init"

// NewState makes a state of zeros that fits the layout.
func (l *Layout) NewState() *State {
	s := &State{Params: make([]float32, l.paramLen), Stats: make([]float32, l.statLen), History: make(History, l.historyLen)}
	for _, name := range l.optim {
		s.Optim = append(s.Optim, Buffer{name, make([]float32, l.optimLen)})
	}
	return s
}

// fits checks that a state has the layout's buffers.
func (l *Layout) fits(s *State) error {
	if len(s.Params) != l.paramLen || len(s.Stats) != l.statLen || len(s.Optim) != len(l.optim) {
		return fmt.Errorf("state at step %d has %d parameters, %d statistics and %d optimizer buffers, the layout %d, %d and %d",
			s.Step, len(s.Params), len(s.Stats), len(s.Optim), l.paramLen, l.statLen, len(l.optim))
	}
	if len(s.History) != l.historyLen {
		return fmt.Errorf("state at step %d has a history of %d values, the layout %d", s.Step, len(s.History), l.historyLen)
	}
	for i, b := range s.Optim {
		if b.Name != l.optim[i] || len(b.Data) != l.optimLen {
			return fmt.Errorf("state at step %d: optimizer buffer %s has %d values, want %s with %d", s.Step, b.Name, len(b.Data), l.optim[i], l.optimLen)
		}
	}
	return nil
}

// vector is one of the state's flat vectors.
func (s *State) vector(v int) []float32 {
	switch v {
	case vectorParams:
		return s.Params
	case vectorStats:
		return s.Stats
	case vectorHistory:
		return s.History
	}
	return s.Optim[v-vectorOptim].Data
}

// encodeHeader is the beginning of a safetensors file with this metadata, these counters, each one I64, and then these tensors: the length, then
// JSON padded with spaces so that the data is aligned to 8 bytes.
func encodeHeader(metadata string, counters []string, slots []slot) []byte {
	var b strings.Builder
	b.WriteString(metadata)
	at := int64(0)
	add := func(name, dtype string, shape []int, size int64) {
		key, _ := json.Marshal(name)
		dims, _ := json.Marshal(append([]int{}, shape...))
		fmt.Fprintf(&b, `,%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, key, dtype, dims, at, at+size)
		at += size
	}
	for _, name := range counters {
		add(name, "I64", nil, 8)
	}
	for _, s := range slots {
		add(s.name, "F32", s.shape, 4*int64(s.interval.Len()))
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return prefixLength(b.String())
}
