package table

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonReader reads an object a line. The keys of the first are the columns; those of objects inside are joined by dots. Later
// lines may leave keys out, in any order, but bring no new ones.
type jsonReader struct {
	file    *stream
	shown   string
	columns []string
	index   map[string]int
	pending []byte // the first line
	line    int    // of the newest row, from 1
	row     int
	buffer  []byte
	numbers [][]float64 // by column, reused
}

func openJSONL(file *stream, shown string) (Reader, error) {
	if start, _ := file.Peek(3); bytes.Equal(start, []byte{0xef, 0xbb, 0xbf}) {
		file.Discard(3)
	}
	j := &jsonReader{file: file, shown: shown, index: map[string]int{}}
	line, err := j.readLine()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: is empty", shown)
	}
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(string(line), "[") {
		return nil, fmt.Errorf("%s: is a JSON array; write one object a line (jq -c '.[]')", shown)
	}
	err = j.object(line, func(name string, v Value) error {
		if _, twice := j.index[name]; twice {
			return fmt.Errorf("key %s occurs twice", quote(name))
		}
		j.index[name] = len(j.columns)
		j.columns = append(j.columns, name)
		if len(j.columns) > maxColumns {
			return fmt.Errorf("more than %d keys", maxColumns)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", shown, j.line, err)
	}
	j.numbers = make([][]float64, len(j.columns))
	j.pending = append([]byte(nil), line...)
	return j, checkNames(j.columns, fmt.Sprintf("%s:%d", shown, j.line))
}

func (j *jsonReader) Columns() []string { return j.columns }

func (j *jsonReader) Next(row []Value) error {
	line := j.pending
	j.pending = nil
	if line == nil {
		var err error
		if line, err = j.readLine(); err != nil {
			return err
		}
	}
	j.row++
	clear(row)
	set := make([]bool, len(row))
	err := j.object(line, func(name string, v Value) error {
		i, known := j.index[name]
		if !known {
			return fmt.Errorf("key %s is not in the first row; give it a null there", quote(name))
		}
		if set[i] {
			return fmt.Errorf("key %s occurs twice", quote(name))
		}
		row[i], set[i] = v, true
		return nil
	})
	if err != nil {
		return badRow("%s:%d: row %d: %w", j.shown, j.line, j.row, err)
	}
	return nil
}

func (j *jsonReader) Where(column int) string {
	return fmt.Sprintf("%s:%d: row %d, key %s", j.shown, j.line, j.row, quote(j.columns[column]))
}

func (j *jsonReader) Close() error { return j.file.Close() }

// readLine is the next line that is not blank, without its end.
func (j *jsonReader) readLine() ([]byte, error) {
	for {
		j.buffer = j.buffer[:0]
		for {
			part, err := j.file.ReadSlice('\n')
			j.buffer = append(j.buffer, part...)
			if len(j.buffer) > maxRowBytes {
				return nil, fmt.Errorf("%s:%d: a line is longer than %d bytes", j.shown, j.line+1, maxRowBytes)
			}
			if err == nil || err == io.EOF && len(j.buffer) > 0 {
				break
			}
			if err == io.EOF {
				return nil, io.EOF
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, fmt.Errorf("%s:%d: %w", j.shown, j.line+1, err)
			}
		}
		j.line++
		if text := bytes.TrimSpace(j.buffer); len(text) > 0 {
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("%s:%d: is not UTF-8", j.shown, j.line)
			}
			return text, nil
		}
	}
}

// object calls yield for every value of a line.
func (j *jsonReader) object(line []byte, yield func(name string, v Value) error) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if token, err := d.Token(); err != nil {
		return explainJSON(err)
	} else if token != json.Delim('{') {
		return fmt.Errorf("is not a JSON object")
	}
	if err := j.members(d, "", 0, yield); err != nil {
		return explainJSON(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is more behind the object; write one object a line")
	}
	return nil
}

// maxNesting is how deep objects and arrays may lie in each other.
const maxNesting = 32

func (j *jsonReader) members(d *json.Decoder, prefix string, depth int, yield func(string, Value) error) error {
	if depth > maxNesting {
		return fmt.Errorf("objects inside objects, more than %d deep", maxNesting)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name := prefix + key.(string)
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'):
			if err := j.members(d, name+".", depth+1, yield); err != nil {
				return err
			}
			continue
		case json.Delim('['):
			v, err := j.array(d, name)
			if err != nil {
				return fmt.Errorf("key %s: %w", quote(name), err)
			}
			if err := yield(name, v); err != nil {
				return err
			}
			continue
		}
		v, err := scalar(token)
		if err != nil {
			return fmt.Errorf("key %s: %w", quote(name), err)
		}
		if err := yield(name, v); err != nil {
			return err
		}
	}
	_, err := d.Token() // the closing brace
	return err
}

func scalar(token json.Token) (Value, error) {
	switch t := token.(type) {
	case nil:
		return Value{}, nil
	case bool:
		return BoolValue(t), nil
	case string:
		return TextValue(t), nil
	case json.Number:
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			return IntegerValue(n), nil
		}
		f, err := t.Float64()
		if err != nil {
			return Value{}, fmt.Errorf("%s is too large", quote(t.String()))
		}
		return NumberValue(f), nil
	}
	return Value{}, fmt.Errorf("%v out of place", token)
}

// array reads numbers, in one or more dimensions, behind an opening bracket.
func (j *jsonReader) array(d *json.Decoder, name string) (Value, error) {
	v := Value{Kind: Array}
	if i, known := j.index[name]; known && j.numbers != nil {
		v.Numbers = j.numbers[i][:0]
	}
	sizes := []int{0} // of the arrays that are open
	shape := []int{}  // by depth, -1 where not known yet
	depth := 1
	leaf := 0   // depth of the numbers
	other := "" // what is in the array beside numbers
	for depth > 0 {
		token, err := d.Token()
		if err != nil {
			return v, err
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '[' {
				if depth++; depth > maxNesting {
					return v, fmt.Errorf("arrays inside arrays, more than %d deep", maxNesting)
				}
				sizes[len(sizes)-1]++
				sizes = append(sizes, 0)
				continue
			}
			if t != ']' {
				if err := skip(d); err != nil {
					return v, err
				}
				other = "an array of objects"
				sizes[depth-1]++
				continue
			}
			for len(shape) < depth {
				shape = append(shape, -1)
			}
			if shape[depth-1] >= 0 && shape[depth-1] != sizes[depth-1] && other == "" {
				return v, fmt.Errorf("an array with rows of %d and of %d values", shape[depth-1], sizes[depth-1])
			}
			shape[depth-1] = sizes[depth-1]
			sizes = sizes[:depth-1]
			depth--
		default:
			if leaf == 0 {
				leaf = depth
			}
			if leaf != depth && other == "" {
				return v, fmt.Errorf("an array with numbers beside arrays")
			}
			one, err := scalar(token)
			if err != nil {
				return v, err
			}
			if one.Kind != Number && one.Kind != Bool {
				other = "an array with " + one.name() + " in it"
			}
			sizes[depth-1]++
			v.Numbers = append(v.Numbers, one.number)
		}
	}
	if other != "" {
		return otherValue(other), nil
	}
	product := 1
	for _, n := range shape {
		product *= n
	}
	if product != len(v.Numbers) {
		return v, fmt.Errorf("an array with numbers beside arrays")
	}
	v.Shape = shape
	if i, known := j.index[name]; known && j.numbers != nil {
		j.numbers[i] = v.Numbers
	}
	return v, nil
}

// skip passes over the rest of an object inside an array.
func skip(d *json.Decoder) error {
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxNesting {
				return fmt.Errorf("objects inside objects, more than %d deep", maxNesting)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// explainJSON leaves out what only Go's decoder means.
func explainJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("column %d: %w", syntax.Offset, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the object is not closed on this line")
	}
	return err
}
