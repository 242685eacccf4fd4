package tensor

// counted is an operation that consists of products, in which almost all of a model's work is.
type counted interface {
	// multiplyAdds is how many multiply-adds its forward and its backward take. Those with padding count.
	multiplyAdds() (forward, backward int)
}

// MultiplyAdds is how many multiply-adds the products of one Forward take, and those of one Backward, which may compute some of Forward's again. Twice as many
// floating-point operations, over what a core does in a second, is the least time that a run takes.
func (p *Program) MultiplyAdds() (forward, backward int) {
	for _, n := range p.nodes {
		if op, ok := n.op.(counted); ok {
			f, b := op.multiplyAdds()
			forward += f
			if p.training {
				backward += b
			}
		}
	}
	for _, t := range p.turns {
		if op, ok := t.node.op.(counted); ok && t.again {
			f, _ := op.multiplyAdds()
			backward += f
		}
	}
	return forward, backward
}

// times is n for each sink that is wanted.
func times(n int, sinks ...*sink) (sum int) {
	for _, s := range sinks {
		if s.wanted() {
			sum += n
		}
	}
	return sum
}

func (o *linear) multiplyAdds() (forward, backward int) {
	n := o.rows * o.in * o.out
	return n, times(n, o.dx, o.dw)
}

func (o *conv) multiplyAdds() (forward, backward int) {
	n := o.samples * o.pixels() * o.groups * o.out * o.depth
	return n, times(n, o.dx, o.dw)
}

func (o *depthwise) multiplyAdds() (forward, backward int) {
	n := o.samples * o.pixels() * o.channels * o.taps()
	return n, times(n, o.dx, o.dw)
}

// multiplyAdds of attention: two products of each block forward, and backward the scores again, the gradient of the
// probabilities, and three for those of queries, keys and values.
func (o *attention) multiplyAdds() (forward, backward int) {
	scores := 0
	for query := 0; query < o.queries; query += attentionBlock {
		for key := 0; key < o.lastKey(min(query+attentionBlock, o.queries)); key += attentionBlock {
			b := o.block(0, 0, query, key)
			for r := range b.rows {
				scores += b.reach(r)
			}
		}
	}
	n := o.units * scores * o.Dim
	if o.dq.wanted() || o.dk.wanted() || o.dv.wanted() {
		backward = 2*n + times(n, o.dq, o.dk, o.dv)
	}
	return 2 * n, backward
}
