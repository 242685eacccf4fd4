// Package sweep trains one job with many settings of some keys: it draws the trials, runs them one after the other on this machine or as
// jobs of a cluster's queue, ends those that stay behind, and compares what came out. Which trials there are, where each one ends and
// what it reaches follows from the job, the flags and the seed alone.
package sweep

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"ringmaster/internal/rng"
)

// MaxTrials bounds how many trials a sweep has.
const MaxTrials = 1000

// Axis is a job key and what it is set to in turn.
type Axis struct {
	Key    string
	Values []string // as in --set
}

// ParseAxis reads KEY=VALUE,VALUE... A comma inside brackets, braces or quotes belongs to a value.
func ParseAxis(text string) (Axis, error) {
	key, values, err := divide(text)
	if err != nil {
		return Axis{}, err
	}
	a := Axis{Key: key, Values: values}
	for i, v := range values {
		if v == "" {
			return Axis{}, fmt.Errorf("%q: value %d is empty", text, i+1)
		}
		for _, earlier := range values[:i] {
			if v == earlier {
				return Axis{}, fmt.Errorf("%q has the value %s twice", text, v)
			}
		}
	}
	return a, nil
}

// divide splits KEY=VALUE,VALUE...
func divide(text string) (key string, values []string, err error) {
	key, list, ok := strings.Cut(text, "=")
	if key = strings.TrimSpace(key); !ok || key == "" {
		return "", nil, fmt.Errorf("%q must be KEY=VALUE,VALUE", text)
	}
	depth, quote, from := 0, rune(0), 0
	for i, r := range list {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case strings.ContainsRune("[{(", r):
			depth++
		case strings.ContainsRune("]})", r):
			depth--
		case r == ',' && depth == 0:
			values, from = append(values, strings.TrimSpace(list[from:i])), i+1
		}
	}
	if depth != 0 || quote != 0 {
		return "", nil, fmt.Errorf("%q: a bracket or quote is not closed", text)
	}
	return key, append(values, strings.TrimSpace(list[from:])), nil
}

// Draw is a job key and what its values are drawn from.
type Draw struct {
	Key       string
	Values    []string // one of these; none: from Low to High
	Low, High float64
	Log       bool // evenly by the logarithm
	Whole     bool // integers, both ends included
}

// ParseDraw reads KEY=LOW..HIGH, KEY=log:LOW..HIGH or KEY=VALUE,VALUE... Two integers without log: give integers.
func ParseDraw(text string) (Draw, error) {
	key, values, err := divide(text)
	if err != nil {
		return Draw{}, err
	}
	bounds, logarithmic := strings.CutPrefix(values[0], "log:")
	low, high, isRange := strings.Cut(bounds, "..")
	if !isRange || len(values) > 1 {
		a, err := ParseAxis(text)
		return Draw{Key: a.Key, Values: a.Values}, err
	}
	d := Draw{Key: key, Log: logarithmic}
	var errLow, errHigh error
	d.Low, errLow = strconv.ParseFloat(low, 64)
	d.High, errHigh = strconv.ParseFloat(high, 64)
	_, wholeLow := strconv.Atoi(low)
	_, wholeHigh := strconv.Atoi(high)
	d.Whole = !d.Log && wholeLow == nil && wholeHigh == nil
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	switch {
	case errors.Join(errLow, errHigh) != nil || !finite(d.Low) || !finite(d.High):
		return Draw{}, fmt.Errorf("%q: %s is no range LOW..HIGH of numbers", text, bounds)
	case d.Low >= d.High:
		return Draw{}, fmt.Errorf("%q: %s is not below %s", text, low, high)
	case d.Log && d.Low <= 0:
		return Draw{}, fmt.Errorf("%q: a range by the logarithm begins above 0", text)
	case !finite(d.High - d.Low), d.Whole && d.High-d.Low >= 1<<31:
		return Draw{}, fmt.Errorf("%q: the range is too wide", text)
	}
	return d, nil
}

// nameOf is a number for a key, so that a key's draws do not depend on what else is drawn.
func nameOf(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // which never fails
	return h.Sum64()
}

// digits of a number that was drawn: enough for any setting, and readable in a table.
const digits = 4

// value is the i-th value drawn with a key.
func (d *Draw) value(k rng.Key, i uint64) string {
	switch {
	case len(d.Values) > 0:
		return d.Values[k.Below(i, uint64(len(d.Values)))]
	case d.Whole:
		return strconv.FormatInt(int64(d.Low)+int64(k.Below(i, uint64(d.High-d.Low)+1)), 10)
	}
	at := float64(k.Uint32(i)) * 0x1p-32
	x := d.Low + at*(d.High-d.Low)
	if d.Log {
		x = d.Low * math.Pow(d.High/d.Low, at) // four digits of it: the same on every CPU but for a tie of rounding
	}
	x = min(max(x, d.Low), d.High)
	return strconv.FormatFloat(x, 'g', digits, 64)
}

// Space is what a sweep tries.
type Space struct {
	Grid   []Axis // every combination of their values
	Random []Draw // drawn for every point
	Points int    // that are drawn for each combination; 0: 1
	Seeds  int    // trainings of each point, with the job's seed and those after it; 0: 1
}

// Trial is one training of the job.
type Trial struct {
	Number int      `json:"trial"` // from 1
	Point  int      `json:"point"` // from 1; trials of one point differ in the seed alone
	Sets   []string `json:"sets"`  // KEY=VALUE, on top of the job's
	Seed   uint64   `json:"seed"`
}

// Settings are the keys and values of the trial, with the seed.
func (t *Trial) Settings() []string {
	return append(append([]string(nil), t.Sets...), "seed="+strconv.FormatUint(t.Seed, 10))
}

// Trials lists the trials in the order in which they run. seed is the job's.
func (s *Space) Trials(seed uint64) ([]Trial, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	combinations := [][]string{nil}
	for _, a := range s.Grid {
		var next [][]string
		for _, c := range combinations {
			for _, v := range a.Values {
				next = append(next, append(append([]string(nil), c...), a.Key+"="+v))
			}
		}
		if combinations = next; len(next) > MaxTrials {
			break // refused below
		}
	}
	points, seeds := max(1, s.Points), max(1, s.Seeds)
	if n := len(combinations) * points; n > MaxTrials || n*seeds > MaxTrials {
		return nil, fmt.Errorf("these are more than %d trials; leave values out", MaxTrials)
	}
	var trials []Trial
	for _, c := range combinations {
		for p := range points {
			point := append([]string(nil), c...)
			for i := range s.Random {
				d := &s.Random[i]
				point = append(point, d.Key+"="+d.value(rng.TrialKey(seed, nameOf(d.Key)), uint64(p)))
			}
			for n := range seeds {
				trials = append(trials, Trial{Number: len(trials) + 1, Point: (len(trials)/seeds + 1), Sets: point, Seed: seed + uint64(n)})
			}
		}
	}
	return trials, nil
}

func (s *Space) check() error {
	if len(s.Grid) == 0 && len(s.Random) == 0 && s.Seeds <= 1 {
		return errors.New("nothing varies: give --grid KEY=A,B, --random KEY=LOW..HIGH or --seeds N")
	}
	if s.Points < 0 || s.Points > MaxTrials || s.Seeds < 0 || s.Seeds > MaxTrials {
		return fmt.Errorf("--trials and --seeds must be 1 to %d", MaxTrials)
	}
	if len(s.Random) == 0 && s.Points > 1 {
		return errors.New("--trials says how many points --random draws, and there is none")
	}
	seen := map[string]bool{}
	for _, key := range s.keys() {
		switch {
		case seen[key]:
			return fmt.Errorf("the key %s is given twice", key)
		case key == "seed":
			return errors.New("the seed is varied by --seeds N")
		}
		seen[key] = true
	}
	return nil
}

func (s *Space) keys() []string {
	var keys []string
	for _, a := range s.Grid {
		keys = append(keys, a.Key)
	}
	for _, d := range s.Random {
		keys = append(keys, d.Key)
	}
	return keys
}
