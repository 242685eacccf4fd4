package table

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// chain reads the tables of several files one after another. All have the columns of the first, in any order.
type chain struct {
	Reader
	names   []string // of the files
	file    int      // the number of the one that is read
	format  Format
	options Options
	columns []string
	from    []int   // where in a row of the file each column is; nil: in the same place
	row     []Value // of the file
	passed  Passed  // in the files before
}

// OpenAll opens the tables in several files, of which there is one at least, as one.
func OpenAll(names []string, format Format, o Options) (Reader, error) {
	first, err := Open(names[0], format, o)
	if err != nil || len(names) == 1 {
		return first, err
	}
	return &chain{Reader: first, names: names, format: format, options: o, columns: first.Columns()}, nil
}

func (c *chain) Columns() []string { return c.columns }

func (c *chain) Next(row []Value) error {
	for {
		err := c.next(row)
		if err != io.EOF || c.file == len(c.names)-1 {
			return err
		}
		c.passed = c.Passed()
		if err := c.Reader.Close(); err != nil {
			return err
		}
		c.file++
		if c.Reader, err = Open(c.names[c.file], c.format, c.options); err != nil {
			c.Reader = closed{}
			return err
		}
		if err := c.match(); err != nil {
			return err
		}
	}
}

// match finds the columns in the file that was opened now.
func (c *chain) match() error {
	have, first, now := c.Reader.Columns(), filepath.Base(c.names[0]), filepath.Base(c.names[c.file])
	if c.from = nil; slices.Equal(have, c.columns) {
		return nil
	}
	for _, name := range have {
		if !slices.Contains(c.columns, name) && c.format != Tar {
			return fmt.Errorf("%s: has a column %s, which %s does not have", now, quote(name), first)
		}
	}
	for _, name := range c.columns {
		at := slices.Index(have, name)
		if at < 0 && c.format != Tar {
			return fmt.Errorf("%s: has no column %s, as %s has", now, quote(name), first)
		}
		c.from = append(c.from, at)
	}
	c.row = make([]Value, len(have))
	return nil
}

func (c *chain) next(row []Value) error {
	if c.from == nil {
		err := c.Reader.Next(row)
		c.number(row)
		return err
	}
	err := c.Reader.Next(c.row)
	for k, at := range c.from {
		row[k] = Value{}
		if at >= 0 {
			row[k] = c.row[at]
		}
	}
	c.number(row)
	return err
}

// number says in which of the files the places of values are.
func (c *chain) number(row []Value) {
	for k := range row {
		row[k].At.File = int32(c.file)
	}
}

func (c *chain) Where(column int) string {
	if c.from == nil {
		return c.Reader.Where(column)
	}
	if at := c.from[column]; at >= 0 {
		return c.Reader.Where(at)
	}
	place, _, _ := strings.Cut(c.Reader.Where(0), ", field ")
	return fmt.Sprintf("%s, field %s", place, c.columns[column])
}

// ClassNames implements Classed.
func (c *chain) ClassNames(column string) []string {
	if classed, ok := c.Reader.(Classed); ok {
		return classed.ClassNames(column)
	}
	return nil
}

// Passed implements Passing.
func (c *chain) Passed() Passed {
	if passing, ok := c.Reader.(Passing); ok {
		return c.passed.add(passing.Passed())
	}
	return c.passed
}

// closed is a table that could not be opened.
type closed struct{}

func (closed) Columns() []string  { return nil }
func (closed) Next([]Value) error { return io.EOF }
func (closed) Where(int) string   { return "" }
func (closed) Close() error       { return nil }
