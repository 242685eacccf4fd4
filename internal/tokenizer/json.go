package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// document is a JSON text whose syntax has been checked. Its values are read when they are asked for, so that a vocabulary of a
// hundred thousand tokens is never held as a tree.
type document struct {
	name string // of the file, for errors
	text []byte
}

// node is a value of a document: text[from:to], without blanks around it.
type node struct {
	doc      *document
	from, to int
}

// parseDocument checks a JSON text and returns its value.
func parseDocument(name string, text []byte) (node, error) {
	d := &document{name, text}
	if at := invalidUTF8(text); at >= 0 {
		return node{}, d.errorf(at, "byte %#02x is not UTF-8", text[at])
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		at := len(text)
		if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
			at = min(int(wrong.Offset), len(text)) - 1
		}
		return node{}, d.errorf(max(at, 0), "not JSON: %s", err)
	}
	from := d.skipBlanks(0)
	return node{d, from, d.end(from)}, nil
}

// invalidUTF8 is the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// errorf is an error at an offset of the document, told as file, line and column.
func (d *document) errorf(at int, format string, values ...any) error {
	before := d.text[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Errorf("%s:%d:%d: %w", d.name, line, column, fmt.Errorf(format, values...))
}

func (n node) errorf(format string, values ...any) error {
	return n.doc.errorf(n.from, format, values...)
}

func (d *document) skipBlanks(i int) int {
	for i < len(d.text) && (d.text[i] == ' ' || d.text[i] == '\n' || d.text[i] == '\t' || d.text[i] == '\r') {
		i++
	}
	return i
}

// end is the offset after the value at offset i of a text whose syntax is right. It does not recurse, so depth costs nothing.
func (d *document) end(i int) int {
	for depth := 0; i < len(d.text); {
		switch c := d.text[i]; c {
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case '"':
			i = d.endOfString(i)
		case ' ', '\n', '\t', '\r', ',', ':':
			i++
			continue
		default:
			for i < len(d.text) && !bytes.ContainsRune([]byte(",]} \n\t\r"), rune(d.text[i])) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

func (d *document) endOfString(i int) int {
	for i++; d.text[i] != '"'; i++ {
		if d.text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// kind names what a value is.
func (n node) kind() string {
	switch n.doc.text[n.from] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

func (n node) isNull() bool { return n.doc == nil || n.doc.text[n.from] == 'n' }

// each calls do with every key and value of an object, in order. Keys that are there twice are do's to notice.
func (n node) each(do func(key node, value node) error) error {
	if n.kind() != "an object" {
		return n.errorf("an object is wanted here, not %s", n.kind())
	}
	d := n.doc
	for i := d.skipBlanks(n.from + 1); d.text[i] != '}'; {
		key := node{d, i, d.endOfString(i)}
		i = d.skipBlanks(d.skipBlanks(key.to) + 1) // the colon
		value := node{d, i, d.end(i)}
		if err := do(key, value); err != nil {
			return err
		}
		if i = d.skipBlanks(value.to); d.text[i] == ',' {
			i = d.skipBlanks(i + 1)
		}
	}
	return nil
}

// items calls do with every value of a list, in order.
func (n node) items(do func(value node) error) error {
	if n.kind() != "a list" {
		return n.errorf("a list is wanted here, not %s", n.kind())
	}
	d := n.doc
	for i := d.skipBlanks(n.from + 1); d.text[i] != ']'; {
		value := node{d, i, d.end(i)}
		if err := do(value); err != nil {
			return err
		}
		if i = d.skipBlanks(value.to); d.text[i] == ',' {
			i = d.skipBlanks(i + 1)
		}
	}
	return nil
}

// string is the text of a string.
func (n node) string() (string, error) {
	if n.kind() != "a string" {
		return "", n.errorf("a string is wanted here, not %s", n.kind())
	}
	raw := n.doc.text[n.from+1 : n.to-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), nil
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		r, size := unescape(raw[i:])
		if utf16.IsSurrogate(r) {
			return "", n.doc.errorf(n.from+1+i, "\\u%04x is half of a character; both halves of a surrogate pair must follow each other", r)
		}
		out = utf8.AppendRune(out, r)
		i += size
	}
	return string(out), nil
}

// unescape is the character that an escape sequence stands for, and the sequence's length.
func unescape(raw []byte) (rune, int) {
	if raw[1] != 'u' {
		const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
		return rune(to[bytes.IndexByte([]byte(from), raw[1])]), 2
	}
	hex := func(i int) rune {
		v, _ := strconv.ParseUint(string(raw[i:i+4]), 16, 16) // the syntax was checked
		return rune(v)
	}
	r := hex(2)
	if utf16.IsSurrogate(r) && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if both := utf16.DecodeRune(r, hex(8)); both != utf8.RuneError {
			return both, 12
		}
	}
	return r, 6
}

// integer is a whole number from 0 to most.
func (n node) integer(most int) (int, error) {
	v, err := strconv.ParseUint(string(n.doc.text[n.from:n.to]), 10, 32)
	if err != nil || v > uint64(most) {
		return 0, n.errorf("a whole number from 0 to %d is wanted here, not %s", most, n.shown())
	}
	return int(v), nil
}

func (n node) number() (float64, error) {
	v, err := strconv.ParseFloat(string(n.doc.text[n.from:n.to]), 64)
	if err != nil {
		return 0, n.errorf("a number is wanted here, not %s", n.shown())
	}
	return v, nil
}

func (n node) boolean() (bool, error) {
	switch string(n.doc.text[n.from:n.to]) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, n.errorf("true or false is wanted here, not %s", n.shown())
}

// shown is the value as a message shows it.
func (n node) shown() string { return printable.Line(string(n.doc.text[n.from:n.to]), 40) }

// object is the fields of an object that is no vocabulary: few, each once. What is read is marked, so that a field that nobody has
// read can be refused: it might change the ids.
type object struct {
	node
	fields map[string]node
	order  []string
	read   map[string]bool
}

// object reads the fields of an object. They are at most 64.
func (n node) object() (*object, error) {
	o := &object{n, map[string]node{}, nil, map[string]bool{}}
	err := n.each(func(key, value node) error {
		name, err := key.string()
		if err != nil {
			return err
		}
		if _, twice := o.fields[name]; twice {
			return key.errorf("key %s is there twice", printable.Typed(name))
		}
		if len(o.order) == 64 {
			return key.errorf("too many keys: an object like this has fewer than 64")
		}
		o.fields[name] = value
		o.order = append(o.order, name)
		return nil
	})
	return o, err
}

// get is a field, of no document where it is not there.
func (o *object) get(name string) node {
	o.read[name] = true
	return o.fields[name]
}

// has reports whether a field is there and is not null.
func (o *object) has(name string) bool { return !o.get(name).isNull() }

// must is a field that has to be there.
func (o *object) must(name string) (node, error) {
	n := o.get(name)
	if n.doc == nil {
		return n, o.errorf("%s is missing here", name)
	}
	return n, nil
}

// rest refuses the fields that nobody has read.
func (o *object) rest(what string) error {
	for _, name := range o.order {
		if !o.read[name] {
			return o.fields[name].errorf("%s has a setting %s that is not implemented", what, printable.Typed(name))
		}
	}
	return nil
}

// The settings of a part are read one after another; the first error stays and the later reads do nothing.
type settings struct {
	*object
	what string
	err  error
}

// settingsOf reads an object that tells its type.
func settingsOf(n node, what string) (*settings, string, error) {
	o, err := n.object()
	if err != nil {
		return nil, "", err
	}
	kind := ""
	if o.has("type") {
		if kind, err = o.get("type").string(); err != nil {
			return nil, "", err
		}
		what += " " + printable.Typed(kind)
	}
	return &settings{o, what, nil}, kind, nil
}

func setting[T any](s *settings, name string, standard T, read func(node) (T, error)) T {
	if s.err != nil || !s.has(name) {
		return standard
	}
	v, err := read(s.get(name))
	if err != nil {
		s.err = err
		return standard
	}
	return v
}

func (s *settings) bool(name string, standard bool) bool {
	return setting(s, name, standard, node.boolean)
}

func (s *settings) text(name, standard string) string {
	return setting(s, name, standard, node.string)
}

func (s *settings) int(name string, standard, most int) int {
	return setting(s, name, standard, func(n node) (int, error) { return n.integer(most) })
}

// required notes that a setting is missing that has no default.
func (s *settings) required(names ...string) {
	for _, name := range names {
		if _, err := s.must(name); err != nil && s.err == nil {
			s.err = s.errorf("%s has no %s", s.what, name)
		}
	}
}

// done is the first error, or one about a setting that nobody has read.
func (s *settings) done() error {
	if s.err != nil {
		return s.err
	}
	return s.rest(s.what)
}
