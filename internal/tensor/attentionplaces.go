package tensor

import "fmt"

// checkPlaces panics where places are not those of documents one after another.
func (o *attention) checkPlaces() {
	if o.Places == nil {
		return
	}
	for i, place := range o.Places.data {
		if place != 0 && (i%o.queries == 0 || place != o.Places.data[i-1]+1) {
			panic(fmt.Sprintf("tensor: attention: position %d of sample %d has place %d in its document", i%o.queries, i/o.queries, place))
		}
	}
}

// start is the first key that a query sees.
func (o *attention) start(sample, query int) int {
	if o.Places == nil {
		return 0
	}
	return query - int(o.Places.data[sample*o.queries+query])
}

// firstKey is where the blocks of keys begin that any query from the one on, which begins a block, can see.
func (o *attention) firstKey(sample, query int) int {
	start := o.start(sample, query)
	return start - start%attentionBlock
}
