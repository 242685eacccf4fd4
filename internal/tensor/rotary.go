package tensor

// rotary turns each pair of a head's columns by an angle that grows with the position (Su et al. 2021, RoFormer). Column i of a head and column
// i+dim/2 are a pair, as Hugging Face's models have them.
type rotary struct {
	x, table, y       *Value
	dim               int // of a head
	length            int // of a sample
	places            *Integers
	dx                *sink
	compute, traverse *share
}

// Rotary turns the pairs of columns of x (samples, length, heads*dim): y[i] = x[i] cos - x[i+dim/2] sin, y[i+dim/2] = x[i+dim/2] cos + x[i] sin.
// The table (at least length, dim), a Constant, has for each position the cosines of a head's pairs and behind them their sines. Position t of a
// sample is row t of the table or, where places (samples, length) are given, the row that they name. It panics on a place outside.
func (g *Graph) Rotary(x, table *Value, dim int, places *Integers) *Value {
	invariant(len(x.Shape) == 3 && x.Dim(1) <= table.Dim(0), "rotary: a table of %v for %v", table.Shape, x.Shape)
	invariant(places == nil || places.Size() == x.Rows(), "rotary: places of other positions than those of %v", x.Shape)
	op := g.rotary(x, table, dim)
	op.length, op.places = x.Dim(1), places
	return op.y
}

// RotateRows is Rotary of rows (rows, heads*dim) that stand at their texts' positions.
func (g *Graph) RotateRows(x, table *Value, dim int) *Value { return g.rotary(x, table, dim).y }

func (g *Graph) rotary(x, table *Value, dim int) *rotary {
	invariant(dim%2 == 0 && table.Dim(1) == dim && x.Dim(-1)%dim == 0, "rotary: heads of %d columns, a table of %v for %v", dim, table.Shape, x.Shape)
	op := &rotary{x: x, table: table, dim: dim}
	n := g.record()
	n.use(x, table)
	if op.dx = n.gradient(x, false); op.dx != nil {
		op.dx.inPlace = true
	}
	op.y = n.make(x.Shape...)
	op.compute = newShare(func(begin, end int) {
		for r := begin; r < end; r++ {
			turnPairs(row(op.y, op.y.Data(), r, 0), row(x, x.Data(), r, 0), op.angles(r), false)
		}
	})
	op.traverse = newShare(func(begin, end int) {
		for r := begin; r < end; r++ {
			turnPairs(row(x, op.dx.data(), r, 0), row(x, op.y.grad.data, r, 0), op.angles(r), true)
		}
	})
	n.op = op
	return op
}

// angles is the table's row for row r of x.
func (o *rotary) angles(r int) []float32 {
	place := r % o.length
	if o.places != nil {
		place = int(o.places.data[r])
	}
	return o.at(place)
}

func (o *rotary) at(place int) []float32 { return row(o.table, o.table.Data(), place, 0)[:o.dim] }

func (o *rotary) forward(c *Context)  { o.compute.run(c, o.x.Rows(), o.x.Dim(-1)) }
func (o *rotary) backward(c *Context) { o.traverse.run(c, o.x.Rows(), o.x.Dim(-1)) }

func (o *rotary) forwardRows(c *Context, rows, _ int) {
	for r, at := range c.Places[:rows] {
		turnPairs(row(o.y, o.y.Data(), r, 0), row(o.x, o.x.Data(), r, 0), o.at(at.Position), false)
	}
}

// turnPairs turns the pairs of each head in src by the angles of one position, or back; dst may be src.
func turnPairs(dst, src, angles []float32, back bool) {
	dim := len(angles)
	cosines, sines := angles[:dim/2], angles[dim/2:]
	for head := 0; head+dim <= len(src); head += dim {
		from, to := src[head:head+dim], dst[head:head+dim]
		for i, cos := range cosines {
			sin := sines[i]
			if back {
				sin = -sin
			}
			a, b := from[i], from[i+dim/2]
			to[i] = float32(a*cos) - float32(b*sin)
			to[i+dim/2] = float32(b*cos) + float32(a*sin)
		}
	}
}
