package dataset

import (
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// unbalanced is a set of 10, 3, 0 and 1 pictures of four classes.
func unbalanced(t *testing.T) *Data {
	t.Helper()
	p := &pictures{schema: pictureSchema([]int{1, 1}, 4, nil), width: 1, values: make([]byte, 14), labels: []int32{0, 0, 1, 0, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0}}
	d := &Data{pixels: greyPixels(1, 1)}
	if err := d.sets(p, nil, d.pixels.transforms()...); err != nil {
		t.Fatal(err)
	}
	if err := d.balanced(config.Data{Balance: config.BalanceClasses}); err != nil {
		t.Fatal(err)
	}
	return d
}

// Each class that occurs has its share of every epoch, up to one place; a large one shows its samples at most once an epoch and all in the long run, a
// small one shows each as often as the others, up to one.
func TestClassesAreInBalance(t *testing.T) {
	d := unbalanced(t)
	classes := map[int32]int{5: 3, 2: 1, 7: 1, 11: 1}
	total, luck := make([]int, 14), map[int]int{}
	for epoch := range uint64(60) {
		order := d.Sampler(7, epoch)
		if order.Len() != 14 {
			t.Fatalf("an epoch of %d places", order.Len())
		}
		count, perClass := make([]int, 14), [4]int{}
		for i := range order.Len() {
			count[order.At(i)]++
			perClass[classes[int32(order.At(i))]]++
		}
		for _, class := range []int{0, 1, 3} {
			if perClass[class] != 4 && perClass[class] != 5 {
				t.Fatalf("epoch %d has the classes %v times", epoch, perClass)
			}
			luck[class] += perClass[class]
		}
		if small := []int{count[2], count[7], count[11]}; slices.Max(small)-slices.Min(small) > 1 {
			t.Fatalf("epoch %d shows the samples of a class %v times", epoch, small)
		}
		for sample, n := range count {
			if classes[int32(sample)] == 0 && n > 1 {
				t.Fatalf("epoch %d shows sample %d of a large class %d times", epoch, sample, n)
			}
			total[sample] += n
		}
		again := d.Sampler(7, epoch)
		if !slices.Equal(order.samples, again.samples) {
			t.Fatal("the order of an epoch is another the second time")
		}
	}
	if slices.Min(total) < 15 {
		t.Errorf("in 60 epochs the samples are seen %v times", total)
	}
	if luck[0] == 240 || luck[1] == 240 || luck[3] == 240 {
		t.Errorf("a class never has the place that is left over: %v", luck)
	}
	if slices.Equal(d.Sampler(7, 0).samples, d.Sampler(8, 0).samples) || slices.Equal(d.Sampler(7, 0).samples, d.Sampler(7, 1).samples) {
		t.Error("seeds or epochs have one order")
	}
}

// The order is fixed: a run that was interrupted goes on in the one that it began in.
func TestBalancedOrderIsFixed(t *testing.T) {
	want := []int32{2, 1, 5, 3, 4, 5, 7, 11, 10, 0, 5, 5, 2, 5}
	if got := unbalanced(t).Sampler(1, 2).samples; !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
}

// A split's training rows are balanced, whatever the order of the classes in the file.
func TestBalanceOfATable(t *testing.T) {
	c := tableConfig(t, config.DataCSV, "x,y\n1,b\n2,a\n3,a\n4,a\n5,a\n6,a\n7,b\n8,a\n", "")
	c.Target, c.Weight, c.Features, c.Categories, c.Balance = "y", "", nil, []string{"y"}, config.BalanceClasses
	c.Split = config.Split{Eval: 0.25, By: config.SplitStratified, Seed: 1}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for epoch := range uint64(5) {
		order := d.Sampler(1, epoch)
		ones := 0
		for i := range order.Len() {
			if err := d.Train.Read(&b, []int32{int32(order.At(i))}, [2]uint32{}); err != nil {
				t.Fatal(err)
			}
			ones += int(b.targets()[0])
		}
		if order.Len() != d.Train.Len() || ones != order.Len()/2 {
			t.Errorf("%d of %d places are of the rare class", ones, order.Len())
		}
	}
}

func TestBalanceRefused(t *testing.T) {
	c := tableConfig(t, config.DataCSV, "x,y\n1,2\n3,4\n", "")
	c.Target, c.Weight, c.Features, c.Categories, c.Balance = "y", "", nil, nil, config.BalanceClasses
	want := "data.balance: an order in balance draws from each class equally often, but the target is y: float32; leave it out"
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
