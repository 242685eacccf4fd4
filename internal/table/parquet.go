package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetReader reads a row group after the other. Fields of structs are columns with dots in their names; lists of numbers
// are arrays.
type parquetReader struct {
	file        *os.File
	shown       string
	groups      []parquet.RowGroup
	rows        parquet.Rows // of the group under way
	batch       []parquet.Row
	next        int // in batch
	have        int
	row         int // of the newest row, from 1
	columns     []parquetColumn
	names       []string
	description *format.FileMetaData
	placed      int                 // the column whose bytes are left at their place; -1: none
	classes     map[string][]string // names of the classes of columns of whole numbers
}

// parquetColumn is a leaf of the schema.
type parquetColumn struct {
	lists   int // lists around a value
	listed  int // definition level from which on the innermost list has an element
	convert func(parquet.Value) Value
	values  []float64
}

// badParquet is an error of the library, or a panic in it, which files from outside can cause.
func badParquet(shown string, cause any) error {
	return fmt.Errorf("%s: is not a readable Parquet file: %v", shown, cause)
}

func openParquet(file *os.File, size int64, shown, place string) (r Reader, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r, err = nil, badParquet(shown, cause)
		}
	}()
	f, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, badParquet(shown, err)
	}
	p := &parquetReader{file: file, shown: shown, groups: f.RowGroups(), batch: make([]parquet.Row, 64), description: f.Metadata(), placed: -1, classes: classNames(f)}
	for k, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			if unpacked := c.MetaData.TotalUncompressedSize; unpacked < 0 || unpacked > size*maxRatio+slack {
				return nil, fmt.Errorf("%s: row group %d: column %s says it unpacks to %d bytes, more than %d times the file", shown, k+1,
					strings.Join(c.MetaData.PathInSchema, "."), unpacked, maxRatio)
			}
			visit := func(*format.PageHeader, stretch, int32) error { return nil }
			if err := eachPage(file, size, &c.MetaData, visit); err != nil {
				return nil, fmt.Errorf("%s: row group %d: column %s %w", shown, k+1, strings.Join(c.MetaData.PathInSchema, "."), err)
			}
		}
	}
	for _, c := range f.Root().Columns() {
		p.leaves(c, "", 0)
	}
	if place != "" {
		p.placed = p.placeOf(place)
	}
	return p, checkNames(p.names, shown)
}

// placeOf is the column of bytes by that name: itself, or the bytes of a struct of bytes and a path; -1 where there is none. It takes the name
// that was asked for.
func (p *parquetReader) placeOf(name string) int {
	at := slices.Index(p.names, name)
	if at < 0 {
		if at = slices.Index(p.names, name+".bytes"); at >= 0 {
			p.names[at] = name
		}
	}
	return at
}

// leaves adds the columns below a node of the schema. listed is the definition level of the innermost repeated node above.
func (p *parquetReader) leaves(c *parquet.Column, prefix string, listed int) {
	if c.Repeated() {
		listed = c.MaxDefinitionLevel()
	}
	name := prefix + c.Name()
	if c.Leaf() {
		p.names = append(p.names, name)
		p.columns = append(p.columns, parquetColumn{lists: c.MaxRepetitionLevel(), listed: listed, convert: converter(c.Type())})
		return
	}
	below := c.Columns()
	// A list is a group with a repeated group with the element: their names say nothing.
	if len(below) == 1 && below[0].Repeated() && isList(c.Type()) {
		inner := below[0]
		listed = inner.MaxDefinitionLevel()
		if !inner.Leaf() && len(inner.Columns()) == 1 {
			inner = inner.Columns()[0]
		}
		if inner.Leaf() {
			p.names = append(p.names, name)
			p.columns = append(p.columns, parquetColumn{lists: inner.MaxRepetitionLevel(), listed: listed, convert: converter(inner.Type())})
			return
		}
		for _, each := range inner.Columns() {
			p.leaves(each, name+".", listed)
		}
		if isList(inner.Type()) { // a list of lists keeps its own name
			last := len(p.names) - 1
			p.names[last] = name
		}
		return
	}
	for _, each := range below {
		p.leaves(each, name+".", listed)
	}
}

func isList(t parquet.Type) bool {
	l := t.LogicalType()
	if l == nil {
		return true // written by old programs, which name no logical type
	}
	_, list := l.Value.(*format.ListType)
	return list
}

// converter makes what reads the values of a type.
func converter(t parquet.Type) func(parquet.Value) Value {
	other := func(what string) func(parquet.Value) Value {
		return func(parquet.Value) Value { return otherValue(what) }
	}
	var logical format.LogicalTypeValue
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.DecimalType:
		if t.Kind() != parquet.Int32 && t.Kind() != parquet.Int64 || l.Scale < 0 || l.Scale > 18 {
			return other("a decimal of more than 64 bits; make it a floating-point number first")
		}
		scale := 1.0
		for range l.Scale {
			scale *= 10
		}
		return func(v parquet.Value) Value { return NumberValue(float64(whole(v)) / scale) }
	case *format.DateType, *format.TimeType, *format.TimestampType:
		return other("a date or time; make it a number or a text first")
	case *format.IntType:
		if !l.IsSigned {
			return func(v parquet.Value) Value {
				n := v.Uint64()
				if v.Kind() == parquet.Int32 {
					n = uint64(v.Uint32())
				}
				if n > math.MaxInt64 {
					return NumberValue(float64(n))
				}
				return IntegerValue(int64(n))
			}
		}
	case *format.Float16Type:
		return func(v parquet.Value) Value {
			if b := v.ByteArray(); len(b) == 2 {
				return NumberValue(float16(binary.LittleEndian.Uint16(b)))
			}
			return otherValue("a half-precision number that is not of two bytes")
		}
	case *format.StringType, *format.EnumType, *format.JsonType:
		return func(v parquet.Value) Value {
			if b := v.ByteArray(); utf8.Valid(b) {
				return TextValue(string(b))
			}
			return otherValue("a text that is not UTF-8")
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return func(v parquet.Value) Value { return BoolValue(v.Boolean()) }
	case parquet.Int32, parquet.Int64:
		return func(v parquet.Value) Value { return IntegerValue(whole(v)) }
	case parquet.Float:
		return func(v parquet.Value) Value { return NumberValue(float64(v.Float())) }
	case parquet.Double:
		return func(v parquet.Value) Value { return NumberValue(v.Double()) }
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return func(v parquet.Value) Value { return Value{Kind: Bytes, Bytes: v.ByteArray()} }
	}
	return other("a value of type " + t.String())
}

func whole(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func (p *parquetReader) Columns() []string { return p.names }

func (p *parquetReader) Next(row []Value) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = badParquet(p.shown, cause)
		}
	}()
	for p.next == p.have {
		if p.rows == nil {
			if len(p.groups) == 0 {
				return io.EOF
			}
			p.rows, p.groups = p.groups[0].Rows(), p.groups[1:]
		}
		n, err := p.rows.ReadRows(p.batch)
		p.next, p.have = 0, n
		if n > 0 {
			break
		}
		if err != nil && err != io.EOF {
			return badParquet(p.shown, err)
		}
		if err := p.rows.Close(); err != nil {
			return badParquet(p.shown, err)
		}
		p.rows = nil
	}
	values := p.batch[p.next]
	p.next++
	p.row++
	clear(row)
	var bad error
	values.Range(func(column int, values []parquet.Value) bool {
		if column < len(row) {
			v, err := p.columns[column].read(values)
			if err != nil {
				bad = badRow("%s: %w", p.Where(column), err)
				return false
			}
			if column == p.placed && v.Kind == Bytes {
				v = Value{Kind: Placed, At: Place{Offset: int64(p.row - 1)}}
			}
			row[column] = v
		}
		return true
	})
	return bad
}

// read makes a value of what a row has in the column.
func (c *parquetColumn) read(values []parquet.Value) (Value, error) {
	if len(values) == 0 {
		return Value{}, nil
	}
	first := values[0]
	if c.lists == 0 {
		if first.IsNull() {
			return Value{}, nil
		}
		return c.convert(first), nil
	}
	if first.IsNull() && first.DefinitionLevel() < c.listed {
		if first.DefinitionLevel() == c.listed-1 {
			return Value{Kind: Array, Shape: make([]int, c.lists)}, nil
		}
		return Value{}, nil
	}
	c.values = c.values[:0]
	starts := make([]int, c.lists) // lists that begin, by depth
	for i, each := range values {
		if each.IsNull() {
			return Value{}, errors.New("a null, or an empty list, inside a list")
		}
		v := c.convert(each)
		if v.Kind != Number && v.Kind != Bool {
			return otherValue(fmt.Sprintf("a list with %v in it", v.Kind)), nil
		}
		c.values = append(c.values, v.number)
		level := each.RepetitionLevel()
		if i == 0 {
			level = 0
		}
		for d := level; d < c.lists; d++ {
			starts[d]++
		}
	}
	// starts[d] lists of depth d begin, so a list of depth d has starts[d+1]/starts[d] parts.
	shape := make([]int, c.lists)
	for d := range shape {
		parts := len(values)
		if d+1 < c.lists {
			parts = starts[d+1]
		}
		shape[d] = parts / starts[d]
	}
	stride := 1
	strides := make([]int, c.lists+1)
	for d := c.lists - 1; d >= 0; d-- {
		strides[d+1] = stride
		stride *= shape[d]
	}
	strides[0] = stride
	for i, each := range values {
		level := slices.IndexFunc(strides, func(s int) bool { return s > 0 && i%s == 0 })
		if stride != len(values) || i > 0 && each.RepetitionLevel() != level {
			return Value{}, errors.New("a list with parts of different lengths")
		}
	}
	return Value{Kind: Array, Shape: shape, Numbers: c.values}, nil
}

func (p *parquetReader) Where(column int) string {
	return fmt.Sprintf("%s: row %d, column %s", p.shown, p.row, quote(p.names[column]))
}

func (p *parquetReader) Close() error {
	if p.rows != nil {
		p.rows.Close()
	}
	return p.file.Close()
}
