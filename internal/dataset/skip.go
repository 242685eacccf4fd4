package dataset

import (
	"image"
	"runtime"
	"strings"
	"sync"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/plural"
)

// skipped counts bad records that are left out by data.skip_bad.
type skipped struct {
	count int
	first []string // what is wrong with the first of them
}

// maxFirst is how many bad records are told one by one.
const maxFirst = 3

func (s *skipped) add(err error) {
	if s.count++; len(s.first) < maxFirst {
		s.first = append(s.first, err.Error())
	}
}

// and is both counts together.
func (s skipped) and(other skipped) skipped {
	first := append(append([]string(nil), s.first...), other.first...)
	return skipped{s.count + other.count, first[:min(len(first), maxFirst)]}
}

func (s skipped) String() string {
	first := ": "
	if s.count > len(s.first) {
		first = ", the first: "
	}
	return plural.Of(s.count, "bad record") + " by data.skip_bad" + first + strings.Join(s.first, "; ")
}

// check refuses more bad records than the job allows beside n good ones.
func (s *skipped) check(c config.Data, name string, n int) error {
	if all := n + s.count; float64(s.count) > float64(c.SkipBad*float64(all)) {
		return config.KeyErrorf("data.skip_bad", "of %s in %s %d are bad, more than the share %g; the first: %s; put them right, or raise data.skip_bad",
			plural.Of(all, "record"), name, s.count, c.SkipBad, strings.Join(s.first, "; "))
	}
	return nil
}

// mark is the state of a column before a row.
type mark struct {
	ints, floats, words int
	shape               []int
}

// marks are the columns as they are.
func (r *rows) marks() []mark {
	r.before = r.before[:0]
	for k := range r.columns {
		col := &r.columns[k]
		r.before = append(r.before, mark{len(col.ints), len(col.floats), len(col.words), r.schema[k].Shape})
	}
	return r.before
}

// undo takes back what a row has added.
func (r *rows) undo(before []mark) {
	for k, m := range before {
		col := &r.columns[k]
		col.ints, col.floats, r.schema[k].Shape = col.ints[:m.ints], col.floats[:m.floats], m.shape
		if len(col.words) > m.words {
			delete(col.words, col.newest)
		}
	}
	r.pictures = r.pictures[:min(len(r.pictures), r.n)]
}

// sift leaves out the rows whose pictures cannot be decoded, where the job allows that.
func (r *rows) sift(c config.Data) error {
	if c.SkipBad == 0 || r.images == nil {
		return nil
	}
	bad := badPictures(r.pictures, fitOf(c))
	for _, err := range bad {
		if err != nil {
			r.skipped.add(err)
		}
	}
	whole := *r
	*r = *r.pick(func(i int) bool { return bad[i] == nil })
	r.dropped, r.skipped, r.passed = whole.dropped, whole.skipped, whole.passed
	return r.forget()
}

// siftFiles is what is left of files without those that cannot be decoded, where the job allows that.
func siftFiles(files []labelled, c config.Data, fit *picture.Fit, all *skipped) ([]labelled, error) {
	if c.SkipBad == 0 || len(files) == 0 {
		return files, nil
	}
	sources := make([]source, len(files))
	for i := range files {
		sources[i] = &files[i]
	}
	var good []labelled
	var own skipped
	for i, err := range badPictures(sources, fit) {
		if err == nil {
			good = append(good, files[i])
		} else {
			own.add(err)
		}
	}
	*all = all.and(own)
	return good, own.check(c, files[0].part+" of "+c.Dir, len(good))
}

// badPictures decodes all pictures once, on all CPUs, and says what is wrong with each; nil: nothing. Unless they are brought to one, their size is that of
// the first good one.
func badPictures(sources []source, fit *picture.Fit) []error {
	var size image.Point
	bad := make([]error, len(sources))
	next := 0
	for ; next < len(sources) && size == (image.Point{}); next++ {
		found, err := oneSize(sources[next], fit)
		if err == nil {
			_, err = decodeImage(make([]byte, found.X*found.Y*channels), sources[next], found, fit)
		}
		if bad[next] = err; err == nil {
			size = found
		}
	}
	var running sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		running.Go(func() {
			room := make([]byte, size.X*size.Y*channels)
			for i := next + w; i < len(sources); i += workers {
				_, bad[i] = decodeImage(room, sources[i], size, fit)
			}
		})
	}
	running.Wait()
	return bad
}
