package tensor

import "slices"

// recordSinks asks for one sink for each value, which queries, keys and values may share.
func (o *attention) recordSinks(n *node) {
	parts := [3]Columns{o.q, o.k, o.v}
	var sinks [3]*sink
	for i, x := range parts {
		first := slices.IndexFunc(parts[:], func(c Columns) bool { return c.storage == x.storage })
		if first == i {
			sinks[i] = n.gradient(x.Value, false)
		}
		sinks[i] = sinks[first]
		covered := o.width(i)
		for j, other := range parts {
			if j != i && other.storage == x.storage {
				covered += o.width(j)
				invariant(other.Offset+o.width(j) <= x.Offset || x.Offset+o.width(i) <= other.Offset,
					"attention: columns from %d and from %d of one value overlap", x.Offset, other.Offset)
			}
		}
		if first == i && sinks[i] != nil && covered < x.Dim(2) {
			o.partial = append(o.partial, sinks[i])
		}
	}
	o.dq, o.dk, o.dv = sinks[0], sinks[1], sinks[2]
	if o.Bias != nil {
		invariant(o.Bias.size == o.Heads*o.queries*o.keys, "attention: bias %v", o.Bias.Shape)
		n.keepExactly(o.Bias) // scores that come out other than in forward are no probabilities
		o.dbias = n.gradient(o.Bias, true)
	}
}
