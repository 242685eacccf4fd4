package table

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// array is a NumPy array that is read along its first axis.
type array struct {
	from   io.Reader
	rows   int
	single bool  // it has no axes: it is one number, which is a row
	shape  []int // of a row; none: a row is one number
	size   int   // bytes of a number
	number func([]byte) (float64, int64, bool)
	kind   Kind
	buffer []byte
	values []float64
}

// numpyReader reads one array, or several with as many rows each.
type numpyReader struct {
	shown  string
	names  []string
	arrays []*array
	row    int // of the newest row, from 1
	close  []func() error
}

func openNPY(file *stream, shown string) (Reader, error) {
	a, err := openArray(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	return &numpyReader{shown: shown, names: []string{"data"}, arrays: []*array{a}, close: []func() error{file.Close}}, nil
}

func openNPZ(file *os.File, size int64, shown string) (Reader, error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: is not a zip file, as NPZ files are: %w", shown, err)
	}
	r := &numpyReader{shown: shown}
	fail := func(err error) (Reader, error) {
		for _, c := range r.close {
			c()
		}
		return nil, err
	}
	for _, member := range archive.File {
		name, isArray := strings.CutSuffix(member.Name, ".npy")
		if !isArray {
			return fail(fmt.Errorf("%s: %s in it is not an array", shown, quote(member.Name)))
		}
		if len(r.names) == maxColumns {
			return fail(fmt.Errorf("%s: more than %d arrays", shown, maxColumns))
		}
		content, err := member.Open()
		if err != nil {
			return fail(fmt.Errorf("%s: %s: %w", shown, quote(member.Name), err))
		}
		r.close = append(r.close, content.Close)
		limit := size*maxRatio + slack
		a, err := openArray(bufio.NewReader(&bounded{from: content, left: limit, limit: limit, shown: shown}))
		if err != nil {
			return fail(fmt.Errorf("%s: %s: %w", shown, quote(member.Name), err))
		}
		r.names, r.arrays = append(r.names, name), append(r.arrays, a)
		if a.rows != r.arrays[0].rows {
			return fail(fmt.Errorf("%s: %s has %d rows and %s has %d", shown, quote(r.names[0]), r.arrays[0].rows, quote(name), a.rows))
		}
	}
	r.close = append(r.close, file.Close)
	return r, checkNames(r.names, shown)
}

func (r *numpyReader) Columns() []string { return r.names }

func (r *numpyReader) Next(row []Value) error {
	if r.row == r.arrays[0].rows {
		return io.EOF
	}
	r.row++
	for i, a := range r.arrays {
		v, err := a.next()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Where(i), err)
		}
		row[i] = v
	}
	return nil
}

func (r *numpyReader) Where(column int) string {
	return fmt.Sprintf("%s: row %d of array %s", r.shown, r.row, quote(r.names[column]))
}

func (r *numpyReader) Close() error {
	var errs []error
	for _, c := range r.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// next is the next row.
func (a *array) next() (Value, error) {
	if _, err := io.ReadFull(a.from, a.buffer); err != nil {
		return Value{}, fmt.Errorf("the array ends early: %w", err)
	}
	if len(a.shape) == 0 {
		f, n, whole := a.number(a.buffer)
		if a.kind == Bool {
			return BoolValue(f != 0), nil
		}
		if whole {
			return IntegerValue(n), nil
		}
		return NumberValue(f), nil
	}
	for i := range a.values {
		a.values[i], _, _ = a.number(a.buffer[i*a.size:])
	}
	return Value{Kind: Array, Shape: a.shape, Numbers: a.values}, nil
}

// header matches the Python literal in which an array's header says what it is.
var header = regexp.MustCompile(`^\{\s*'descr'\s*:\s*'([^']*)'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,\s*'shape'\s*:\s*\(([0-9, ]*)\)\s*,?\s*\}\s*$`)

// openArray reads an array's header. The format is numpy.lib.format's, versions 1 to 3:
//
//	\x93NUMPY | major | minor | length of the header (2 or 4 bytes, little-endian) | header | numbers
func openArray(from io.Reader) (*array, error) {
	var start [8]byte
	if _, err := io.ReadFull(from, start[:]); err != nil || string(start[:6]) != "\x93NUMPY" {
		return nil, errors.New("is not a NumPy array")
	}
	length := 0
	switch start[6] {
	case 1:
		var n [2]byte
		if _, err := io.ReadFull(from, n[:]); err != nil {
			return nil, errors.New("the header ends early")
		}
		length = int(binary.LittleEndian.Uint16(n[:]))
	case 2, 3:
		var n [4]byte
		if _, err := io.ReadFull(from, n[:]); err != nil {
			return nil, errors.New("the header ends early")
		}
		length = int(binary.LittleEndian.Uint32(n[:]))
	default:
		return nil, fmt.Errorf("version %d of the format is not read", start[6])
	}
	if length > 1<<16 {
		return nil, fmt.Errorf("a header of %d bytes", length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(from, text); err != nil {
		return nil, errors.New("the header ends early")
	}
	match := header.FindStringSubmatch(string(text))
	if match == nil {
		return nil, errors.New("an array of several fields, or a header that is not read")
	}
	if match[2] == "True" {
		return nil, errors.New("is in Fortran's order; save numpy.ascontiguousarray(array)")
	}
	a := &array{from: from}
	if err := a.setType(match[1]); err != nil {
		return nil, err
	}
	return a, a.setShape(match[3])
}

func (a *array) setShape(text string) error {
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n > math.MaxInt32 {
			return fmt.Errorf("an axis of %s", part)
		}
		a.shape = append(a.shape, n)
	}
	if len(a.shape) == 0 {
		a.single, a.rows, a.buffer = true, 1, make([]byte, a.size)
		return nil
	}
	a.rows, a.shape = a.shape[0], a.shape[1:]
	if len(a.shape) > maxNesting {
		return fmt.Errorf("%d axes are more than %d", len(a.shape)+1, maxNesting)
	}
	width := 1
	for _, n := range a.shape {
		if n > 0 && width > maxRowBytes/a.size/n {
			return fmt.Errorf("a row of more than %d bytes", maxRowBytes)
		}
		width *= n
	}
	a.buffer = make([]byte, width*a.size)
	if len(a.shape) > 0 {
		a.values = make([]float64, width)
	}
	return nil
}

// setType understands a type as NumPy writes it: byte order, kind, bytes.
func (a *array) setType(name string) error {
	a.kind = Number
	plain := strings.TrimLeft(name, "<>|=")
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(name, ">") {
		order = binary.BigEndian
	}
	unsigned := func(b []byte, size int) uint64 {
		switch size {
		case 1:
			return uint64(b[0])
		case 2:
			return uint64(order.Uint16(b))
		case 4:
			return uint64(order.Uint32(b))
		}
		return order.Uint64(b)
	}
	kind, digits := plain[:min(1, len(plain))], plain[min(1, len(plain)):]
	size, err := strconv.Atoi(digits)
	if err != nil || size != 1 && size != 2 && size != 4 && size != 8 {
		kind = ""
	}
	a.size = size
	switch {
	case kind == "b" && size == 1:
		a.kind = Bool
		a.number = func(b []byte) (float64, int64, bool) { return float64(b[0]), int64(b[0]), true }
	case kind == "u":
		a.number = func(b []byte) (float64, int64, bool) {
			n := unsigned(b, size)
			return float64(n), int64(n), n <= math.MaxInt64
		}
	case kind == "i":
		shift := 64 - 8*size
		a.number = func(b []byte) (float64, int64, bool) {
			n := int64(unsigned(b, size)<<shift) >> shift
			return float64(n), n, true
		}
	case kind == "f" && size > 1:
		a.number = func(b []byte) (float64, int64, bool) {
			switch n := unsigned(b, size); size {
			case 2:
				return float16(uint16(n)), 0, false
			case 4:
				return float64(math.Float32frombits(uint32(n))), 0, false
			default:
				return math.Float64frombits(n), 0, false
			}
		}
	case strings.HasPrefix(plain, "O"):
		return errors.New("holds Python objects, which are programs; save numbers")
	case strings.HasPrefix(plain, "U"), strings.HasPrefix(plain, "S"):
		return errors.New("holds texts; give them as CSV, JSON lines or Parquet")
	default:
		return fmt.Errorf("numbers of type %s are not read", quote(name))
	}
	return nil
}

// float16 is the value of an IEEE 754 half-precision number.
func float16(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)
	if h&0x8000 != 0 {
		sign = -1
	}
	switch {
	case exponent == 31 && fraction == 0:
		return math.Inf(int(sign))
	case exponent == 31:
		return math.NaN()
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
