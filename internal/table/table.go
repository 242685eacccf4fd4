// Package table reads tables row by row from the files in which data usually comes: CSV, TSV, JSON lines, Parquet, and NumPy's
// NPY and NPZ. All formats give the same values for the same rows. Nothing is guessed: a value is what its format says it
// is, in CSV always a text, and whoever reads the table says which columns are numbers. Files come from outside, so the size of
// a row, of a header and of what a compressed file unpacks to are bounded before memory is taken.
package table

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Kind is what a value is.
type Kind uint8

const (
	// Missing stands where a row has no value: null, a key that is not there, an empty CSV field.
	Missing Kind = iota
	// Text is a string of valid UTF-8.
	Text
	// Number is an integer or a fraction.
	Number
	// Bool is true or false.
	Bool
	// Bytes are raw bytes, such as a picture's.
	Bytes
	// Array holds numbers in one or more dimensions.
	Array
	// Other is something that is not read, such as a date. Only a column that a job names may not hold it.
	Other
	// Placed are raw bytes that were left at their place in the file; a Loader reads them.
	Placed
)

var kindNames = [...]string{Placed: "raw bytes", Missing: "nothing", Text: "a text", Number: "a number", Bool: "true or false", Bytes: "raw bytes", Array: "an array", Other: "something"}

func (k Kind) String() string { return kindNames[k] }

// Value is one value of a row. Its slices are valid until the reader's next row.
type Value struct {
	Kind    Kind
	text    string
	number  float64
	integer int64 // of a number that is whole
	whole   bool
	narrow  bool // the number is a float32
	Bytes   []byte
	Shape   []int     // of an array
	Numbers []float64 // of an array, the last axis fastest
	At      Place     // of bytes that were left there
}

// Place is where in the files of a table the bytes of a value are.
type Place struct {
	Offset int64 // in bytes; of Parquet the number of the row, from 0
	File   int32 // its number among the files, from 0
	Size   int32 // in bytes; of Parquet 0
}

// TextValue is a text.
func TextValue(s string) Value { return Value{Kind: Text, text: s} }

// NumberValue is a fraction.
func NumberValue(f float64) Value { return Value{Kind: Number, number: f} }

// IntegerValue is a whole number.
func IntegerValue(n int64) Value {
	return Value{Kind: Number, number: float64(n), integer: n, whole: true}
}

// otherValue is a value that is not read: what says what it is.
func otherValue(what string) Value { return Value{Kind: Other, text: what} }

// BoolValue is true or false.
func BoolValue(b bool) Value {
	v := Value{Kind: Bool}
	if b {
		v.number = 1
	}
	return v
}

// Float is the value as a number: a number itself, a text that is written as a decimal number, true and false as 1 and 0. Hexadecimal
// forms and digits apart by underscores are no numbers, and neither are words such as "inf" and "nan". The error says what stands
// there instead.
func (v Value) Float() (float64, error) {
	switch v.Kind {
	case Number, Bool:
		return v.number, nil
	case Text:
		f, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(v.text, "xXpP_iInN") {
			return 0, fmt.Errorf("%s is not a number", quote(v.text))
		}
		if math.IsInf(f, 0) {
			return 0, fmt.Errorf("%s is too large", quote(v.text))
		}
		return f, nil
	}
	return 0, fmt.Errorf("%s is not a number", v.name())
}

// Whole is the value of a whole number.
func (v Value) Whole() (n int64, ok bool) { return v.integer, v.Kind == Number && v.whole }

// name says what the value is, for errors.
func (v Value) name() string {
	if v.Kind == Other {
		return v.text
	}
	return v.Kind.String()
}

// Word is the value as the name of a category or group: a text itself, a number in its shortest decimal form.
func (v Value) Word() (string, error) {
	switch v.Kind {
	case Text:
		return v.text, nil
	case Bool:
		return strconv.FormatBool(v.number == 1), nil
	case Number:
		if v.whole {
			return strconv.FormatInt(v.integer, 10), nil
		}
		if v.narrow {
			return strconv.FormatFloat(v.number, 'g', -1, 32), nil
		}
		return strconv.FormatFloat(v.number, 'g', -1, 64), nil
	}
	return "", fmt.Errorf("%s is not a category", v.name())
}

// quote shortens a text for an error.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strconv.Quote(s)
}

// Reader gives the rows of a table in order.
type Reader interface {
	// Columns are the names of the columns. They are all different.
	Columns() []string
	// Next fills row, which has a value for each column, with the next row. It returns io.EOF behind the last one.
	// Other errors name the file and the place in it; after them nothing more can be read, unless they are a *RowError.
	Next(row []Value) error
	// Where names the place of a value of the row that Next gave last: file, line or row, and column.
	Where(column int) string
	Close() error
}

// RowError says that one row is malformed; the rows behind it can still be read.
type RowError struct{ Err error }

func (e *RowError) Error() string { return e.Err.Error() }
func (e *RowError) Unwrap() error { return e.Err }

// badRow makes a RowError.
func badRow(format string, args ...any) error { return &RowError{fmt.Errorf(format, args...)} }

// Bounds on what files from outside can make the reader allocate.
const (
	maxRowBytes = 256 << 20 // of one row
	maxColumns  = 1 << 16
	maxName     = 1 << 12 // bytes of a column's name
)

// checkNames refuses names that occur twice, which are too many or too long. where stands before the error.
func checkNames(names []string, where string) error {
	if len(names) == 0 {
		return fmt.Errorf("%s: no columns", where)
	}
	if len(names) > maxColumns {
		return fmt.Errorf("%s: %d columns are more than %d", where, len(names), maxColumns)
	}
	seen := make(map[string]int, len(names))
	for i, name := range names {
		if len(name) > maxName {
			return fmt.Errorf("%s: the name of column %d is longer than %d bytes", where, i+1, maxName)
		}
		if before, twice := seen[name]; twice {
			return fmt.Errorf("%s: columns %d and %d are both named %s; rename one", where, before+1, i+1, quote(name))
		}
		seen[name] = i
	}
	return nil
}
