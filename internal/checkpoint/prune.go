package checkpoint

import (
	"cmp"
	"errors"
	"slices"

	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
)

// Pruned lists what Prune has kept and deleted.
type Pruned struct {
	Kept       []Name // whole checkpoints, ascending; the last is the origin
	Older      int    // deleted: checkpoints before those that are kept,
	Unfinished int    // and folders without a manifest
}

// String says what was deleted, for people; "" where nothing was.
func (p Pruned) String() string {
	switch {
	case p.Older > 0 && p.Unfinished > 0:
		return plural.Of(p.Older, "older checkpoint") + " and " + plural.Of(p.Unfinished, "unfinished one")
	case p.Older > 0:
		return plural.Of(p.Older, "older checkpoint")
	case p.Unfinished > 0:
		return plural.Of(p.Unfinished, "unfinished checkpoint")
	}
	return ""
}

// CompareNames orders by step, then generation, then job.
func CompareNames(a, b Name) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Job, b.Job))
}

// Prune deletes from the stores of one run, which must not be running, what its next launch cannot need. That launch resumes from origin,
// which is whole in one of the stores; nil: from the beginning. If keep > 0, the newest keep checkpoints up to the origin stay, and the best by the
// rule (nil: none), and the others before them go; so do folders that were never finished. A checkpoint of another run, one that is damaged and not older than those
// that stay, and everything newer than the origin are left alone. After an interruption it can be called again.
func Prune(stores []*Store, origin *Manifest, keep int, best *metric.Rule) (Pruned, error) {
	var all []Entry
	for _, s := range stores {
		entries, err := s.List()
		if err != nil {
			return Pruned{}, err
		}
		all = append(all, entries...)
	}
	var p Pruned
	var first Name // of the newest ones that stay
	if origin != nil {
		for _, e := range all {
			if e.Err == nil && SameRun(e.Manifest, origin) && CompareNames(e.Name, origin.Name()) <= 0 {
				p.Kept = append(p.Kept, e.Name)
			}
		}
		slices.SortFunc(p.Kept, CompareNames)
		p.Kept = slices.Compact(p.Kept)
		if n := len(p.Kept) - keep; keep > 0 && n > 0 {
			spared := bestOf(p.Kept, origin, best)
			p.Kept = slices.Delete(p.Kept, 0, n)
			first = p.Kept[0]
			if !slices.Contains(p.Kept, spared) && spared != (Name{}) {
				p.Kept = slices.Insert(p.Kept, 0, spared)
			}
		} else if len(p.Kept) > 0 {
			first = p.Kept[0]
		}
	}
	older, unfinished := map[Name]bool{}, map[Name]bool{}
	for _, e := range all {
		into := older
		switch {
		case slices.Contains(p.Kept, e.Name):
			continue
		case errors.Is(e.Err, ErrUnfinished):
			into = unfinished
		case origin == nil || keep <= 0 || e.Err != nil && !errors.Is(e.Err, ErrDamaged),
			e.Manifest == nil || !SameRun(e.Manifest, origin), // of another run, or unknown
			len(p.Kept) == 0 || CompareNames(e.Name, first) > 0:
			continue
		}
		deleted, err := e.store.Retire(e.Name)
		if err != nil {
			return p, err
		}
		if deleted {
			into[e.Name] = true
		}
	}
	p.Older, p.Unfinished = len(older), len(unfinished)
	return p, nil
}

// bestOf is the newest generation's checkpoint at the step of the best evaluation; the zero Name: there is none.
func bestOf(names []Name, origin *Manifest, rule *metric.Rule) (best Name) {
	if rule == nil {
		return Name{}
	}
	step, any := bestStep(origin.Epochs, rule, func(step uint64) bool {
		return slices.ContainsFunc(names, func(n Name) bool { return n.Step == step })
	})
	for _, n := range names {
		if any && n.Step == step {
			best = n
		}
	}
	return best
}

// SameRun reports whether two checkpoints belong to the launches of one run: they are of one job by name, seats and data.
func SameRun(a, b *Manifest) bool {
	return a.Job == b.Job && a.Seats == b.Seats && a.Fingerprint == b.Fingerprint
}
