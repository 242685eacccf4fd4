package table

import (
	"io"
	"math"
	"slices"
	"strconv"
)

// maxDistinct bounds the distinct values that are counted in a column; beyond it only "more" is known.
const maxDistinct = 100

// Summary is what a column of a table holds.
type Summary struct {
	Name     string         `json:"name"`
	Kinds    map[string]int `json:"kinds"`              // values by what they are; texts that are written as numbers are "number"
	Missing  int            `json:"missing"`            // rows without a value
	Distinct int            `json:"distinct,omitempty"` // different texts, numbers and truth values; 0: more than are counted
	Values   map[string]int `json:"values,omitempty"`   // rows by value, where they are few
	Numbers  *Numbers       `json:"numbers,omitempty"`  // nil: no value is a number
	Shape    []int          `json:"shape,omitempty"`    // of arrays, where all have the same
	counts   map[string]int // nil: too many
	arrays   int
	sum      float64
}

// Numbers are figures over the values that are numbers.
type Numbers struct {
	Count int     `json:"count"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
}

// Summarize reads a table to its end and tells of each column what it holds. It keeps a bounded number of values whatever the
// table's size.
func Summarize(r Reader) (columns []Summary, rows int, err error) {
	columns = make([]Summary, len(r.Columns()))
	for k, name := range r.Columns() {
		columns[k] = Summary{Name: name, Kinds: map[string]int{}, counts: map[string]int{}}
	}
	row := make([]Value, len(columns))
	for {
		if err := r.Next(row); err == io.EOF {
			break
		} else if err != nil {
			return nil, 0, err
		}
		rows++
		for k := range row {
			columns[k].add(&row[k])
		}
	}
	for k := range columns {
		columns[k].finish()
	}
	return columns, rows, nil
}

// maxCounted is in bytes. The distinct values of a column with a longer one are not counted.
const maxCounted = 200

func (s *Summary) add(v *Value) {
	if v.Kind == Missing {
		s.Missing++
		return
	}
	if v.Kind == Array {
		if s.arrays == 0 {
			s.Shape = slices.Clone(v.Shape)
		} else if !slices.Equal(s.Shape, v.Shape) {
			s.Shape = nil
		}
		s.arrays++
	}
	number, err := v.Float()
	isNumber := err == nil && (v.Kind == Number || v.Kind == Text)
	switch {
	case isNumber && math.IsNaN(number):
		s.Kinds["NaN"]++
	case isNumber:
		s.Kinds["number"]++
		s.count(number)
	default:
		s.Kinds[map[Kind]string{Text: "text", Bool: "true or false", Bytes: "bytes", Array: "array", Other: "other"}[v.Kind]]++
	}
	word, err := v.Word()
	if s.counts == nil || err != nil && len(s.counts) == 0 {
		return
	}
	if _, known := s.counts[word]; err != nil || len(word) > maxCounted || !known && len(s.counts) == maxDistinct {
		s.counts = nil
		return
	}
	s.counts[word]++
}

func (s *Summary) count(x float64) {
	if s.Numbers == nil {
		s.Numbers = &Numbers{Min: x, Max: x}
	}
	n := s.Numbers
	n.Count++
	n.Min, n.Max = min(n.Min, x), max(n.Max, x)
	s.sum += x
}

// fewValues is how many different values are listed.
const fewValues = 20

func (s *Summary) finish() {
	if s.Numbers != nil {
		s.Numbers.Mean = s.sum / float64(s.Numbers.Count)
	}
	s.Distinct = len(s.counts)
	if len(s.counts) <= fewValues {
		s.Values = s.counts
	}
}

// MoreDistinct says how many different values a column has, for people.
func (s *Summary) MoreDistinct() string {
	if s.Distinct == 0 && s.counts == nil {
		return "more than " + strconv.Itoa(maxDistinct)
	}
	return strconv.Itoa(s.Distinct)
}
