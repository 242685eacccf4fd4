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
	i, known := j.index[name]
	known = known && j.numbers != nil
	if known {
		v.Numbers = j.numbers[i][:0]
	}
	n := nest{sizes: []int{0}, depth: 1}
	for n.depth > 0 && n.err == nil {
		token, err := d.Token()
		if err != nil {
			return v, err
		}
		switch token {
		case json.Delim('['):
			n.open()
			continue
		case json.Delim(']'):
			n.close()
			continue
		case json.Delim('{'):
			if err := skip(d); err != nil {
				return v, err
			}
			n.other = "an array of objects"
			continue
		}
		one, err := scalar(token)
		if err != nil {
			return v, err
		}
		if one.Kind != Number && one.Kind != Bool {
			n.other = "an array with " + one.name() + " in it"
		}
		n.number()
		v.Numbers = append(v.Numbers, one.number)
	}
	if n.other != "" && n.depth == 0 {
		return otherValue(n.other), nil
	}
	if known {
		j.numbers[i] = v.Numbers
	}
	v.Shape = n.shape
	return v, n.err
}

// nest follows the brackets of an array of arrays, which must have as many parts each.
type nest struct {
	depth int    // of open brackets
	sizes []int  // parts so far of the arrays that are open
	shape []int  // parts of the arrays that were closed, by depth; -1: none was
	leaf  int    // depth of the numbers; 0: there was none
	other string // what is in it beside numbers
	err   error
}

func (n *nest) open() {
	if n.depth++; n.depth > maxNesting {
		n.err = fmt.Errorf("arrays inside arrays, more than %d deep", maxNesting)
	}
	n.sizes[len(n.sizes)-1]++
	n.sizes = append(n.sizes, 0)
}

func (n *nest) close() {
	for len(n.shape) < n.depth {
		n.shape = append(n.shape, -1)
	}
	size, last := n.sizes[n.depth-1], n.depth-1
	switch {
	case n.other != "":
	case n.leaf != 0 && n.leaf < n.depth:
		n.err = errors.New("an array with numbers beside arrays")
	case n.shape[last] >= 0 && n.shape[last] != size:
		n.err = fmt.Errorf("an array with rows of %d and of %d values", n.shape[last], size)
	}
	n.shape[last] = size
	n.sizes = n.sizes[:last]
	n.depth--
}

func (n *nest) number() {
	n.sizes[n.depth-1]++
	if n.leaf == 0 {
		n.leaf = n.depth
	}
	if n.other == "" && (n.leaf != n.depth || len(n.shape) > n.depth) {
		n.err = errors.New("an array with numbers beside arrays")
	}
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
