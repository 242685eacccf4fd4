package kernel

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"ringmaster/internal/caches"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/wholefile"
)

// This file measures what the model of gemm_blocks.go cannot know: how much reading B in place costs this CPU beside copying it. It does
// so once, at the first product for which the answer may matter, in a few milliseconds, and keeps it in the user's cache folder.

// MeasureVariable is the environment variable that, set to off, leaves the model's values as they are.
const MeasureVariable = "RINGMASTER_KERNEL_MEASURE"

// Bounds of a measurement.
const (
	unsure     = 4                     // the model's rows may be wrong by this factor either way; what is measured is kept within it
	mostTime   = 20 * time.Millisecond // to measure
	tries      = 6                     // the least time counts
	fewRows    = 24                    // of op(A) in a measured product
	manyRows   = 96                    // and in another
	mostFile   = 4096                  // bytes of the file that is read
	choiceForm = 2                     // of the file, and of the kernels that it was measured with
)

// choice is how a tier's measurement goes on: it begins once.
type choice struct {
	begun atomic.Bool
	rows  atomic.Pointer[[reaches]int] // nil until it has ended
}

// rowsThatPay is from how many rows on packing a B pays. The first product near the model's answer measures; meanwhile, and if it cannot,
// the model's counts.
func (s *shape) rowsThatPay(r reach, rows int) int {
	if measured := s.choice.rows.Load(); measured != nil {
		return measured[r]
	}
	model := s.pays[r]
	if rows*unsure >= model && rows < model*unsure && !s.choice.begun.Load() && s.choice.begun.CompareAndSwap(false, true) {
		if measured, ok := s.choose(choiceFile(s.tier)); ok {
			s.choice.rows.Store(&measured)
			return measured[r]
		}
	}
	return model
}

// keptChoice is the content of a choice's file. It counts only if all but Rows are as this process would write them.
type keptChoice struct {
	Form int          `json:"form"`
	CPU  string       `json:"cpu"`
	Tier string       `json:"tier"`
	Rows [reaches]int `json:"rows"`
}

// choiceFile is where a tier's choice is kept, "" if nowhere.
func choiceFile(t Tier) string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "ringmaster", fmt.Sprintf("products-%s.json", t))
}

// choose reads the rows that were measured earlier or measures them, and tries to keep them. It reports false if it is told not to, or if
// other programs leave it too little time.
func (s *shape) choose(file string) (rows [reaches]int, ok bool) {
	if os.Getenv(MeasureVariable) == "off" {
		return rows, false
	}
	k := keptChoice{Form: choiceForm, CPU: fmt.Sprintf("%s %+v", caches.Name(), caches.Here()), Tier: s.tier.String()}
	if rows, ok = k.read(file); ok {
		return s.within(rows), true
	}
	if rows, ok = s.measure(); !ok {
		return rows, false
	}
	k.Rows = s.within(rows)
	k.write(file)
	return k.Rows, true
}

// within keeps rows near the model's, whoever says otherwise.
func (s *shape) within(rows [reaches]int) [reaches]int {
	for r, model := range s.pays {
		rows[r] = min(max(rows[r], model/unsure), model*unsure)
	}
	return rows
}

// read reads a file, if it is about this CPU and written by these kernels.
func (k keptChoice) read(file string) (rows [reaches]int, ok bool) {
	if file == "" {
		return rows, false
	}
	f, err := regularfile.Open(file)
	if err != nil {
		return rows, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostFile))
	if err != nil {
		return rows, false
	}
	var have keptChoice
	if err := json.Unmarshal(text, &have); err != nil {
		return rows, false
	}
	rows, have.Rows = have.Rows, k.Rows
	return rows, have == k
}

// write keeps a choice if it can: it is measured again otherwise.
func (k keptChoice) write(file string) {
	if file == "" || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	_ = wholefile.Write(file, 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(k) }) // it is measured again otherwise
}

// measure finds the rows from which packing pays, for each reach: those after which what reading in place costs more than packed makes up for
// the copy, whose cost is what few rows take more than their share of many. It reports false if it takes too long.
func (s *shape) measure() (rows [reaches]int, ok bool) {
	end := time.Now().Add(mostTime)
	var m scratch
	for r := range reaches {
		many := s.example(r)
		few := *many
		few.M = fewRows
		var inPlace, packed, short time.Duration = math.MaxInt64, math.MaxInt64, math.MaxInt64
		for range tries {
			inPlace = min(inPlace, took(func() { many.multiplyInPlace(s, &m) }))
			packed = min(packed, took(func() { many.multiplyPacked(s, &m) }))
			short = min(short, took(func() { few.multiplyPacked(s, &m) }))
			if time.Now().After(end) {
				return rows, false
			}
		}
		rows[r] = rowsToRepay(inPlace, packed, short, s.pays[r])
	}
	return rows, true
}

// rowsToRepay is how many rows repay a copy, by the times of many rows with B in place and packed, and of few with B packed. What cannot be
// told from chance is left to the model.
func rowsToRepay(inPlace, packed, short time.Duration, model int) int {
	each := packed - short // of the rows that many are more
	copied := short - each*fewRows/(manyRows-fewRows)
	gain := inPlace - each*manyRows/(manyRows-fewRows)
	const chance = 32 // a part of the time
	if each <= 0 || copied <= 0 || gain < inPlace/chance {
		return model
	}
	return int(min(copied*manyRows/gain, math.MaxInt32))
}

func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// example is a product of many rows whose B is as far away as r says on this CPU, or as near to that as it gets.
func (s *shape) example(r reach) *MatMul {
	k, n, ld := min(s.inPlace, 256), 128, 128
	switch r {
	case tightB:
		ld = s.way / 16 // bytes become floats: a quarter of a way
		n = min(ld, 256)
	case farB:
		k = s.inPlace
		n = min(s.near/k+128, 2048) &^ 31
		ld = n + 40
	case clashingB:
		ld = s.way / 8 // half a way
		n = 256
	}
	ld = max(ld, n)
	lda := k + columnUnit // rows that do not clash
	p := &MatMul{M: manyRows, N: n, K: k, A: make([]float32, manyRows*lda), LDA: lda, B: make([]float32, k*ld), LDB: ld, C: make([]float32, manyRows*n), LDC: n}
	for i := range p.B { // a page that nobody has written to is one and the same everywhere
		p.B[i] = 1
	}
	return p
}
