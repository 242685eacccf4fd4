package dataset

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/rng"
)

// classSamples are the numbers of the samples of each class that occurs, ascending. An epoch in balance draws from each class equally often.
type classSamples [][]int32

// balanced settles the classes that epochs draw from, where the job wants them in balance.
func (d *Data) balanced(c config.Data) error {
	if c.Balance == "" {
		return nil
	}
	schema := d.readers[0].Schema()
	target, err := schema.Only(Target)
	if err == nil && (target.Type != Int32 || len(target.Shape) > 0 || target.Classes < 1) {
		err = fmt.Errorf("the target is %s", target)
	}
	if err != nil {
		return config.KeyErrorf("data.balance", "an order in balance draws from each class equally often, but %w; leave it out", err)
	}
	byClass := make(classSamples, target.Classes)
	err = eachTarget(d.readers[0], schema.Find(target.Name), func(sample int, class int32) {
		if class >= 0 {
			byClass[class] = append(byClass[class], int32(sample))
		}
	})
	if err != nil {
		return err
	}
	for _, samples := range byClass {
		if len(samples) > 0 {
			d.classes = append(d.classes, samples)
		}
	}
	if len(d.classes) < 2 {
		return config.KeyErrorf("data.balance", "the training part has samples of %s alone, so there is nothing to balance; leave it out", plural.Of(len(d.classes), "class"))
	}
	return nil
}

// eachTarget tells the class of every record.
func eachTarget(r Reader, field int, tell func(sample int, class int32)) error {
	if g, is := r.(*gallery); is { // whose pictures need not be decoded for it
		r, field = g.rest, field-1
	}
	record := make(Record, len(r.Schema()))
	for i := range r.Len() {
		if err := r.Read(record, i); err != nil {
			return err
		}
		tell(i, record[field].Ints[0])
	}
	return nil
}

// fill makes dst an epoch of draws from the classes. With n places and C classes each class has n/C of them, and the first n%C classes of an
// order that is drawn have one more. A class's draws go through its samples in an order that is drawn, as often as there are
// places: in whole passes, each in an order of its own, and a part of one. The places are mixed at the end.
func (c classSamples) fill(dst []int32, key rng.Key) {
	luck, places := make([]int32, len(c)), make([]int32, len(dst))
	key.Derive(streamLuck).Shuffle(luck)
	list := make([]int32, 0, len(dst))
	for k, samples := range c {
		quota := len(dst) / len(c)
		if int(luck[k]) < len(dst)%len(c) {
			quota++
		}
		order := make([]int32, len(samples))
		for pass := uint64(0); quota > 0; pass++ {
			key.Derive(streamClass).Derive(uint64(k)).Derive(pass).Shuffle(order)
			for _, at := range order[:min(quota, len(order))] {
				list = append(list, samples[at])
			}
			quota -= min(quota, len(order))
		}
	}
	key.Shuffle(places)
	for i, at := range places {
		dst[i] = list[at]
	}
}

// Streams below the key of an epoch's order.
const (
	streamLuck  = 1
	streamClass = 2
)
