package checkpoint

import (
	"cmp"
	"errors"
	"slices"

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

// compareNames orders by step, then generation, then job.
func compareNames(a, b Name) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Job, b.Job))
}

// Prune deletes from the stores of one run, which must not be running, what its next launch cannot need. That launch resumes from origin,
// which is whole in one of the stores; nil: from the beginning. If keep > 0, the newest keep checkpoints up to the origin stay, and those
// before them go; so do folders that were never finished. A checkpoint of another run, one that is damaged and not older than those
// that stay, and everything newer than the origin are left alone. After an interruption it can be called again.
func Prune(stores []*Store, origin *Manifest, keep int) (Pruned, error) {
	var all []Entry
	for _, s := range stores {
		entries, err := s.List()
		if err != nil {
			return Pruned{}, err
		}
		all = append(all, entries...)
	}
	var p Pruned
	if origin != nil {
		for _, e := range all {
			if e.Err == nil && sameRun(e.Manifest, origin) && compareNames(e.Name, origin.Name()) <= 0 {
				p.Kept = append(p.Kept, e.Name)
			}
		}
		slices.SortFunc(p.Kept, compareNames)
		p.Kept = slices.Compact(p.Kept)
		if n := len(p.Kept) - keep; keep > 0 && n > 0 {
			p.Kept = slices.Delete(p.Kept, 0, n)
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
			e.Manifest == nil || !sameRun(e.Manifest, origin), // of another run, or unknown
			len(p.Kept) == 0 || compareNames(e.Name, p.Kept[0]) > 0:
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

// sameRun reports whether two checkpoints belong to the launches of one run: they are of one job by name, seats and data.
func sameRun(a, b *Manifest) bool {
	return a.Job == b.Job && a.Seats == b.Seats && a.Fingerprint == b.Fingerprint
}
