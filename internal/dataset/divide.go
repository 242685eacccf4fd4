package dataset

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// lot is what a split needs to know of the samples that it divides.
type lot struct {
	n       int
	classes []int32                      // of each sample the place of its class among their names; of a stratified split
	groups  []int32                      // likewise of its group; of a split by group
	content func(i int) (hash256, error) // SHA-256 over the seed and what the sample holds; of a split by hash
}

// part is what a sample is for.
type part uint8

const (
	forTraining part = iota
	forEvaluation
	forTest
	partCount
)

func (p part) String() string {
	return [...]string{"the training part", "the evaluation part", "the test part"}[p]
}

// divide says what each sample is for. The test part is chosen first, from all samples, and the evaluation part or the folds from the others. So the test part
// does not depend on the share for evaluation, and is the same in every fold.
func (l *lot) divide(c config.Split) ([]part, error) {
	parts := make([]part, l.n)
	fractions, err := l.fractions(c)
	if err != nil {
		return nil, err
	}
	rest := make([]int32, l.n)
	for i := range rest {
		rest[i] = int32(i)
	}
	take := func(c config.Split, p part) {
		for k, is := range l.choose(c, rest, fractions[p]) {
			if is {
				parts[rest[k]] = p
			}
		}
		rest = slices.DeleteFunc(rest, func(i int32) bool { return parts[i] == p })
	}
	if c.Test > 0 {
		take(config.Split{By: c.By, Seed: c.Seed, Eval: c.Test}, forTest)
		c.Eval /= 1 - c.Test
	}
	take(c, forEvaluation)
	return parts, nil
}

// check refuses a split that leaves a part without samples; of says what the samples are.
func (l *lot) check(c config.Split, parts []part, of string) error {
	for p := range partCount {
		if (p != forTest || c.Test > 0) && !slices.Contains(parts, p) {
			return config.KeyErrorf("data.split", "of %s none is for %v; change the share, the seed or the kind of the split", of, p)
		}
	}
	return nil
}

// choose reports which of the samples in rest are chosen.
func (l *lot) choose(c config.Split, rest []int32, fractions []uint64) []bool {
	switch c.By {
	case config.SplitHash:
		return chooseByHash(c, rest, fractions)
	case config.SplitGroup:
		return l.chooseGroups(c, rest)
	}
	return l.chooseInOrder(c, rest)
}

// chosenAt reports whether a place in an order of samples is one of the chosen part: shares are spread evenly, so that each stretch of the order
// has its share, up to one sample.
func chosenAt(c config.Split, place int) bool {
	if c.Folds > 0 {
		return place%c.Folds == c.Fold
	}
	return share(place+1, c.Eval) > share(place, c.Eval)
}

// share is a share of n samples, rounded to whole ones.
func share(n int, of float64) int { return int(float64(float64(n)*of) + 0.5) }

// chooseInOrder draws an order of the samples, for a stratified split class by class, and chooses places of it.
func (l *lot) chooseInOrder(c config.Split, rest []int32) []bool {
	order := make([]int32, len(rest))
	rng.SplitKey(c.Seed).Shuffle(order)
	if c.By == config.SplitStratified && l.classes != nil {
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(l.classes[rest[a]], l.classes[rest[b]]) })
	}
	chosen := make([]bool, len(rest))
	for place, k := range order {
		chosen[k] = chosenAt(c, place)
	}
	return chosen
}

// chooseGroups draws an order of the groups and takes whole ones: for a share the first, as long as that brings the samples nearer to it; for folds
// each goes to the fold that has the fewest samples so far.
func (l *lot) chooseGroups(c config.Split, rest []int32) []bool {
	size := make([]int, slices.Max(l.groups)+1)
	for _, i := range rest {
		size[l.groups[i]]++
	}
	order := make([]int32, len(size))
	rng.SplitKey(c.Seed).Shuffle(order)
	taken := make([]bool, len(size))
	filled := make([]int, max(c.Folds, 1))
	for _, g := range order {
		fold := 0
		if size[g] == 0 {
			continue
		} else if c.Folds > 0 {
			fold = slices.Index(filled, slices.Min(filled))
			taken[g] = fold == c.Fold
		} else if taken[g] = filled[0] == 0 || 2*filled[0]+size[g] <= 2*share(len(rest), c.Eval); !taken[g] {
			break
		}
		filled[fold] += size[g]
	}
	chosen := make([]bool, len(rest))
	for k, i := range rest {
		chosen[k] = taken[l.groups[i]]
	}
	return chosen
}

// fractions are of each part and sample 64 bits of the hash of what the sample holds, for a split by hash: others for each part, so that one does not decide the
// other.
func (l *lot) fractions(c config.Split) (of [partCount][]uint64, err error) {
	if c.By != config.SplitHash {
		return of, nil
	}
	for i := range l.n {
		sum, err := l.content(i)
		if err != nil {
			return of, err
		}
		of[forEvaluation] = append(of[forEvaluation], binary.LittleEndian.Uint64(sum[:]))
		of[forTest] = append(of[forTest], binary.LittleEndian.Uint64(sum[8:]))
	}
	return of, nil
}

// chooseByHash chooses samples by what they hold alone. So other samples move none, in whatever order and format they come, and equal ones stay together.
func chooseByHash(c config.Split, rest []int32, fractions []uint64) []bool {
	chosen := make([]bool, len(rest))
	for k, i := range rest {
		if u := fractions[i]; c.Folds > 0 {
			fold, _ := bits.Mul64(u, uint64(c.Folds))
			chosen[k] = int(fold) == c.Fold
		} else {
			chosen[k] = float64(u>>11)*0x1p-53 < c.Eval
		}
	}
	return chosen
}

// splitWords says how samples were split; by names what they were grouped or stratified by.
func splitWords(c config.Data) string {
	s := c.Split
	stratified := "stratified"
	if targets := c.TargetColumns(); len(targets) > 0 {
		stratified += " by " + targets[0]
	}
	words := "split " + map[string]string{config.SplitRandom: "at random", config.SplitStratified: stratified, config.SplitGroup: "by " + c.Group, config.SplitHash: "by the hash of their content"}[s.By]
	if s.Test > 0 {
		words += fmt.Sprintf(", %g for test", s.Test)
	}
	if s.Folds > 0 {
		return words + fmt.Sprintf(", fold %d of %d, seed %d", s.Fold, s.Folds, s.Seed)
	}
	return words + fmt.Sprintf(", %g for evaluation, seed %d", s.Eval, s.Seed)
}
