package model

import (
	"fmt"
	"slices"

	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// rows is a model that writes texts, recorded once more so that a row is a token of any text. It is made of what the model records for whole
// texts: operations that go position by position stay as they are, and attention to the text's own tokens finds those before in a store. What
// does not depend on the text, an encoder, is recorded for sources.
type rows struct {
	program *tensor.RowProgram
	tokens  []int32
	texts   []*tensor.KeyValues // of each attention to the text itself
	crosses []cross
	encoder *encoder
}

// cross is an attention to the source.
type cross struct {
	keys, values tensor.Columns // as recorded for whole texts
	store        *tensor.KeyValues
}

// newRows records the model by rows; nil where it cannot be.
func (m *Model) newRows(reads reads, params []float32, slots int) *rows {
	c, err := m.Computation()
	if err != nil || len(c.Outputs) != 1 {
		return nil
	}
	t := &translation{model: m, graph: m.rowGraph(), computation: c, reads: reads, slots: slots, count: rowsAtOnce, values: map[int]*tensor.Value{}}
	t.length = m.schema[m.schema.Find(reads.text)].Width()
	t.classify()
	r := &rows{}
	t.rows = r
	for _, s := range c.Steps {
		if t.ofText[s.Makes.Number()] {
			t.record(s)
		}
	}
	output := t.value(c.Outputs[0].Value)
	if t.fault != nil || !slices.Equal(output.Shape, []int{rowsAtOnce, reads.vocabulary}) {
		return nil
	}
	var ok bool
	if r.program, ok = t.graph.CompileRows(output, rowsAtOnce, params); !ok {
		return nil
	}
	r.tokens = make([]int32, rowsAtOnce)
	r.program.SetIntegers(t.tokens, r.tokens)
	if reads.source != "" {
		r.encoder = &encoder{translation: t, params: params, programs: map[int]*encoding{}}
		if r.encoder.find(1, r) == nil {
			return nil
		}
	}
	return r
}

// rowGraph begins a recording of rows.
func (m *Model) rowGraph() *tensor.Graph {
	g := tensor.NewGraph(false)
	if m.bfloat16 {
		g.BFloat16()
	}
	return g
}

// translation records the steps of a model once more: with count rows that are tokens of any texts or, where whole is set, with count
// positions of one text.
type translation struct {
	model       *Model
	graph       *tensor.Graph
	computation *Computation
	reads       reads
	slots       int
	length      int  // positions, as recorded for whole texts
	count       int  // rows, or positions
	whole       bool // positions of one text
	values      map[int]*tensor.Value
	tokens      *tensor.Integers
	ofText      map[int]bool // values that depend on the text, by number
	ofSource    map[int]bool // on the source, and not on the text
	makers      map[int]tensor.Step
	rows        *rows
	fault       error
}

// classify finds which values depend on what.
func (t *translation) classify() {
	t.ofText, t.ofSource, t.makers = map[int]bool{}, map[int]bool{}, map[int]tensor.Step{}
	for _, s := range t.computation.Steps {
		at := s.Makes.Number()
		t.makers[at] = s
		values, tokens, known := operands(s)
		if !known {
			t.refuse(s)
		}
		text := tokens != nil && t.field(tokens) == t.reads.text
		source := tokens != nil && !text
		for _, v := range values {
			if v != nil {
				text, source = text || t.ofText[v.Number()], source || t.ofSource[v.Number()]
			}
		}
		t.ofText[at], t.ofSource[at] = text, source && !text
	}
}

// field is the name of the field that whole numbers come from.
func (t *translation) field(tokens *tensor.Integers) string {
	for _, r := range t.computation.Reads {
		if r.Integers == tokens {
			return r.Field.Name
		}
	}
	return ""
}

// operands are the values that a step reads which goes position by position, or is attention. known is false for others.
func operands(s tensor.Step) (values []*tensor.Value, tokens *tensor.Integers, known bool) {
	switch w := s.What.(type) {
	case tensor.EmbeddingStep:
		return nil, w.Tokens, true
	case tensor.LinearStep:
		return []*tensor.Value{w.X}, nil, true
	case tensor.NormStep:
		return []*tensor.Value{w.X}, nil, true
	case tensor.AddStep:
		return []*tensor.Value{w.A, w.B}, nil, true
	case tensor.MultiplyStep:
		return []*tensor.Value{w.A, w.B}, nil, true
	case tensor.FunctionStep:
		return []*tensor.Value{w.X}, nil, true
	case tensor.SoftmaxStep:
		return []*tensor.Value{w.X}, nil, true
	case tensor.PositionsStep:
		return []*tensor.Value{w.X}, nil, true
	case tensor.RotaryStep:
		return []*tensor.Value{w.X}, nil, w.Places == nil
	case tensor.AttentionStep:
		return []*tensor.Value{w.Q.Value, w.K.Value, w.V.Value}, nil, true
	case tensor.RelativeBiasStep:
		return nil, nil, true
	}
	return nil, nil, false
}

func (t *translation) refuse(s tensor.Step) {
	if t.fault == nil {
		t.fault = fmt.Errorf("%T does not go position by position", s.What)
	}
}

// shape is that of a value here.
func (t *translation) shape(v *tensor.Value) []int {
	rows := v.Rows() / t.length * t.count
	if t.whole {
		return []int{1, rows, v.Dim(-1)}
	}
	return []int{rows, v.Dim(-1)}
}

// value is what stands here for a value of the whole text; nil for nil.
func (t *translation) value(v *tensor.Value) *tensor.Value {
	if v == nil {
		return nil
	}
	if at, is := v.Parameter(); is {
		if t.values[v.Number()] == nil {
			t.values[v.Number()] = t.graph.Parameter(at, v.Shape...)
		}
		return t.graph.Reshape(t.values[v.Number()], v.Shape...)
	}
	if c := v.Constant(); c != nil {
		if t.values[v.Number()] == nil {
			t.values[v.Number()] = t.graph.Constant(c, v.Shape...)
		}
		return t.graph.Reshape(t.values[v.Number()], v.Shape...)
	}
	here := t.values[v.Number()]
	if shape := t.shape(v); here == nil || v.Rows()%t.length != 0 || here.Size() != tensor.Volume(shape) {
		if t.fault == nil {
			t.fault = fmt.Errorf("a value of %v does not go position by position", v.Shape)
		}
		return t.graph.Input(shape...)
	}
	return t.graph.Reshape(here, t.shape(v)...)
}

// parameter reports whether a value is a parameter, which can be arranged once, or nil.
func parameter(values ...*tensor.Value) bool {
	for _, v := range values {
		if v != nil {
			if _, is := v.Parameter(); !is {
				return false
			}
		}
	}
	return true
}

// record records a step.
func (t *translation) record(s tensor.Step) {
	if t.fault != nil {
		return
	}
	var y *tensor.Value
	switch w := s.What.(type) {
	case tensor.EmbeddingStep:
		y = t.embed(w)
	case tensor.LinearStep:
		if !parameter(w.W, w.B) {
			t.refuse(s)
			return
		}
		y = t.linear(w)
	case tensor.NormStep:
		y = t.norm(w)
	case tensor.AddStep:
		y = t.graph.Add(t.value(w.A), t.value(w.B))
	case tensor.MultiplyStep:
		y = t.graph.Multiply(t.value(w.A), t.value(w.B))
	case tensor.FunctionStep:
		y = t.graph.Function(t.value(w.X), w.Function, w.Slope)
	case tensor.SoftmaxStep:
		if y = t.value(w.X); w.Log {
			y = t.graph.LogSoftmax(y)
		} else {
			y = t.graph.Softmax(y)
		}
	case tensor.PositionsStep:
		if x, table := t.value(w.X), t.value(w.Table); t.whole {
			t.refuse(s)
		} else {
			y = t.graph.PlaceRows(x, table)
		}
	case tensor.RotaryStep:
		if x, table := t.value(w.X), t.value(w.Table); t.whole {
			t.refuse(s)
		} else {
			y = t.graph.RotateRows(x, table, w.Dim)
		}
	case tensor.AttentionStep:
		y = t.attend(s, w)
	default:
		t.refuse(s)
	}
	t.values[s.Makes.Number()] = y
}

// embed records the look-up of the text's tokens, or of the source's.
func (t *translation) embed(w tensor.EmbeddingStep) *tensor.Value {
	if t.whole {
		if t.tokens == nil {
			t.tokens = t.graph.Integers(1, t.count)
		}
		return t.graph.Embedding(t.tokens, t.value(w.Table), t.value(w.Positions))
	}
	if t.tokens == nil {
		t.tokens = t.graph.Integers(t.count)
	}
	return t.graph.EmbedRows(t.tokens, t.value(w.Table), t.value(w.Positions))
}

func (t *translation) linear(w tensor.LinearStep) *tensor.Value {
	act := kernel.None
	if w.ReLU {
		act = kernel.ReLUActivation
	}
	return t.graph.Linear(t.value(w.X), t.value(w.W), t.value(w.B), act)
}

func (t *translation) norm(w tensor.NormStep) *tensor.Value {
	if w.RMS {
		return t.graph.RMSNorm(t.value(w.X), t.value(w.Gamma), w.Epsilon)
	}
	return t.graph.LayerNorm(t.value(w.X), t.value(w.Gamma), t.value(w.Beta), w.Epsilon)
}

func (t *translation) columns(c tensor.Columns) tensor.Columns {
	return tensor.Columns{Value: t.value(c.Value), Offset: c.Offset}
}

// attend records attention: of a source's positions to each other, of rows to their texts, or of rows to their sources.
func (t *translation) attend(s tensor.Step, w tensor.AttentionStep) *tensor.Value {
	relative, ok := t.relative(w)
	if !ok {
		t.refuse(s)
		return nil
	}
	o := w.Options
	o.Bias = nil
	if t.whole {
		if o.Causal {
			t.refuse(s)
			return nil
		}
		if relative != nil {
			o.Bias = t.graph.RelativeBias(t.value(relative.Table), t.count, t.count, relative.Options)
		}
		o.Padded = true
		return t.graph.Attention(t.columns(w.Q), t.columns(w.K), t.columns(w.V), o)
	}
	rowed := tensor.RowAttentionOptions{AttentionOptions: o}
	if relative != nil {
		rowed.Table, rowed.Relative = t.value(relative.Table), relative.Options
	}
	if t.ofText[w.K.Number()] && t.ofText[w.V.Number()] {
		if !o.Causal || o.Padded || o.Places != nil {
			t.refuse(s)
			return nil
		}
		rowed.Store = tensor.NewKeyValues(t.slots, t.reads.context, o.KeyHeads, o.Dim)
		t.rows.texts = append(t.rows.texts, rowed.Store)
		return t.graph.AttendRows(t.columns(w.Q), t.columns(w.K), t.columns(w.V), rowed)
	}
	if !t.ofSource[w.K.Number()] || !t.ofSource[w.V.Number()] || relative != nil || t.reads.source == "" {
		t.refuse(s)
		return nil
	}
	rowed.Store = tensor.NewKeyValues(t.slots, t.reads.sourceMax, o.KeyHeads, o.Dim)
	t.rows.crosses = append(t.rows.crosses, cross{w.K, w.V, rowed.Store})
	return t.graph.AttendRows(t.columns(w.Q), tensor.Columns{}, tensor.Columns{}, rowed)
}

// relative is the step that makes the bias of an attention; nil where it has none. ok is false for another bias.
func (t *translation) relative(w tensor.AttentionStep) (step *tensor.RelativeBiasStep, ok bool) {
	if w.Options.Bias == nil {
		return nil, true
	}
	made, is := t.makers[w.Options.Bias.Number()].What.(tensor.RelativeBiasStep)
	return &made, is && parameter(made.Table)
}

// encoder computes what the source gives to attend to.
type encoder struct {
	translation *translation
	params      []float32
	arena       []float32
	programs    map[int]*encoding // by positions
	context     tensor.Context
}

// encoding is an encoder for sources of so many positions.
type encoding struct {
	program      *tensor.Program
	tokens       []int32
	keys, values []tensor.Columns // of each attention to the source
}

// encoderUnit is what the positions of a source are rounded up to, so that a few programs serve all lengths.
const encoderUnit = 16

// find finds or records the encoder for so many positions; nil where it cannot be.
func (e *encoder) find(positions int, r *rows) *encoding {
	if p := e.programs[positions]; p != nil {
		return p
	}
	of := e.translation
	t := &translation{model: of.model, graph: of.model.rowGraph(), computation: of.computation, reads: of.reads, count: positions, whole: true,
		values: map[int]*tensor.Value{}, ofText: of.ofText, ofSource: of.ofSource, makers: of.makers}
	t.length = t.model.schema[t.model.schema.Find(t.reads.source)].Width()
	for _, s := range t.computation.Steps {
		if t.ofSource[s.Makes.Number()] {
			t.record(s)
		}
	}
	p := &encoding{}
	for _, c := range r.crosses {
		k, v := t.columns(c.keys), t.columns(c.values)
		t.graph.Hold(k.Value)
		t.graph.Hold(v.Value)
		p.keys, p.values = append(p.keys, k), append(p.values, v)
	}
	if t.fault != nil || t.tokens == nil {
		return nil
	}
	p.program = t.graph.Compile()
	p.tokens = make([]int32, positions)
	p.program.SetIntegers(t.tokens, p.tokens)
	if len(e.arena) < p.program.Length() {
		e.arena = make([]float32, p.program.Length())
		for _, other := range e.programs {
			other.program.Bind(e.arena)
		}
	}
	p.program.Bind(e.arena)
	e.programs[positions] = p
	return p
}

// read computes what the source in a slot gives to attend to.
func (r *rows) read(d *Decoder, source int, tokens []int32) {
	e := r.encoder
	width := e.translation.model.schema[e.translation.model.schema.Find(e.translation.reads.source)].Width()
	p := e.find(min((len(tokens)+encoderUnit-1)/encoderUnit*encoderUnit, width), r)
	clear(p.tokens[copy(p.tokens, tokens):]) // which nothing sees
	e.context.Team, e.context.Lengths = d.team, d.lengths[source:source+1]
	p.program.Forward(&e.context, e.params)
	for i, c := range r.crosses {
		c.store.Fill(source, len(tokens), p.keys[i], p.values[i])
	}
}
