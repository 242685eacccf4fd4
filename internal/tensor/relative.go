package tensor

import "math/big"

// RelativeOptions says how a bias depends on the distance between a query and a key, as T5 has it (Raffel et al., JMLR 2020, 2.1).
type RelativeOptions struct {
	Bidirectional bool // keys behind a query have buckets of their own; else they share that of distance 0
	Distance      int  // from which on all distances share the last bucket; more than half the buckets
}

// relativeBias is y[h,q,k] = table[bucket(k-q)][h].
type relativeBias struct {
	heads, queries, keys int
	options              RelativeOptions
	table, y             *Value
	dtable               *sink
	buckets              []int32 // of distance k-q, by k-q+queries-1
}

// RelativeBias makes a bias for attention, (heads, queries, keys), of a table (buckets, heads). Its gradient adds up by ascending query
// and then key.
func (g *Graph) RelativeBias(table *Value, queries, keys int, options RelativeOptions) *Value {
	op := &relativeBias{heads: table.Dim(1), queries: queries, keys: keys, options: options, table: table}
	for distance := 1 - queries; distance < keys; distance++ {
		op.buckets = append(op.buckets, int32(options.Bucket(distance, table.Dim(0))))
	}
	n := g.record()
	n.use(table)
	op.dtable = n.gradient(table, false)
	op.y = n.make(op.heads, queries, keys)
	n.op = op
	return op.y
}

// Bucket is the one of a key's distance behind a query, of so many: near distances have one each, and the others share those left in
// proportion to the logarithm.
func (o RelativeOptions) Bucket(distance, buckets int) int {
	first := 0
	switch {
	case o.Bidirectional:
		buckets /= 2
		if distance > 0 {
			first = buckets
		}
		distance = max(distance, -distance)
	default:
		distance = max(-distance, 0)
	}
	exact := buckets / 2
	if distance < exact {
		return first + distance
	}
	return first + min(buckets-1, exact+o.share(distance, exact, buckets-exact))
}

// share is how many of the parts are behind a distance: the largest n with (distance/exact)^parts >= (Distance/exact)^n, in whole numbers,
// which agree with PyTorch's float32 logarithms.
func (o RelativeOptions) share(distance, exact, parts int) int {
	power := func(x, n int) *big.Int { return new(big.Int).Exp(big.NewInt(int64(x)), big.NewInt(int64(n)), nil) }
	n := 0
	for n < parts {
		left := power(distance, parts)
		left.Mul(left, power(exact, n+1))
		right := power(o.Distance, n+1)
		right.Mul(right, power(exact, parts))
		if left.Cmp(right) < 0 {
			break
		}
		n++
	}
	return n
}

func (o *relativeBias) forward(*Context) {
	y, table := o.y.Data(), o.table.Data()
	for h := range o.heads {
		for q := range o.queries {
			row := y[(h*o.queries+q)*o.keys:][:o.keys]
			for k, bucket := range o.buckets[o.queries-1-q:][:o.keys] {
				row[k] = table[int(bucket)*o.heads+h]
			}
		}
	}
}

func (o *relativeBias) backward(*Context) {
	dtable, dy := o.dtable.data(), o.y.grad.data
	clear(dtable)
	for h := range o.heads {
		for q := range o.queries {
			row := dy[(h*o.queries+q)*o.keys:][:o.keys]
			for k, bucket := range o.buckets[o.queries-1-q:][:o.keys] {
				dtable[int(bucket)*o.heads+h] += row[k]
			}
		}
	}
}
