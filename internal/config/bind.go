package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"ringmaster/internal/printable"
)

// binder fills a struct from YAML and flags, and collects what is wrong on the way.
type binder struct {
	origin   *origin
	problems Problems
	unlisted int             // problems beyond maxProblems
	spoilt   map[string]bool // dotted keys whose value could not be read, or is not known to be what was meant
	flag     place           // when a flag is being bound: the place of everything in it
}

func (b *binder) problem(where place, format string, args ...any) {
	if len(b.problems) == maxProblems {
		b.unlisted++
		return
	}
	b.problems = append(b.problems, &Problem{where: where, Text: printable.Line(fmt.Sprintf(format, args...), maxMessage)})
}

// spoil records a problem with a key's value that makes checks of the value, and of all below it, worthless.
func (b *binder) spoil(key string, where place, format string, args ...any) {
	b.problem(where, format, args...)
	b.spoilt[key] = true
}

// isSpoilt reports whether a problem with the key, or with a value around it, has been recorded.
func (b *binder) isSpoilt(key string) bool {
	for ; key != "" && !b.spoilt[key]; key = around(key) {
	}
	return b.spoilt[key]
}

// place is a node's position in the file.
func (b *binder) place(t *token.Token) place {
	switch {
	case b.flag.name != "":
		return b.flag
	case t == nil || t.Position == nil:
		return place{name: b.origin.file}
	}
	return place{b.origin.file, t.Position.Line, t.Position.Column}
}

// parse reads one YAML document, the value of a key, or the whole file with the key ""; nil when it is empty or broken (then
// the key is spoilt).
func (b *binder) parse(key string, text []byte) ast.Node {
	where := b.place(nil)
	if len(text) > maxBytes {
		b.spoil(key, where, "has more than the %d bytes of a configuration; name a YAML file", maxBytes)
		return nil
	}
	if at := invalidUTF8(text); at < len(text) {
		before := text[:at]
		column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
		b.spoil(key, b.place(&token.Token{Position: &token.Position{Line: bytes.Count(before, []byte("\n")) + 1, Column: column}}),
			"byte %#02x is not UTF-8; save the file as UTF-8, or name a YAML file", text[at])
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // YAML allows a byte order mark
	if line := blankRun(text); line > 0 {
		b.spoil(key, b.place(&token.Token{Position: &token.Position{Line: line, Column: 1}}), "more than %d empty lines come in a row; delete them", maxBlank)
		return nil
	}
	tokens, at, reason := tokenize(text)
	if reason != "" {
		b.spoil(key, b.place(at), "%s", reason)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, message := where, ""
		if e, ok := err.(yaml.Error); ok { // its Error would print the whole text once a token
			at, message = b.place(e.GetToken()), e.GetMessage()
		} else {
			message = err.Error()
		}
		message = firstLine(message)
		if strings.Contains(message, "\t") || strings.Contains(message, "tab character") {
			message = "there is a tab where YAML allows only spaces; indent with spaces"
		}
		b.spoil(key, at, "is not YAML: %s%s", message, yamlHint(message))
		return nil
	}
	var body ast.Node
	for _, document := range file.Docs {
		switch {
		case document == nil || document.Body == nil:
		case body != nil:
			b.spoil(key, b.place(document.Body.GetToken()), "a second document begins here; write one document a file")
			return nil
		default:
			body = document.Body
		}
	}
	return body
}

// invalidUTF8 is the offset of the first byte that belongs to no character; the length of the text where there is none.
func invalidUTF8(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// bind stores a node into a field. key is the dotted name of the field, "" for the whole file.
func (b *binder) bind(key string, into reflect.Value, node ast.Node) {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		b.spoil(key, b.place(node.GetToken()), "%s: anchors, aliases and tags are not used here; write the value out", named(key))
		return
	}
	if key != "" {
		b.origin.at[key] = b.place(node.GetToken())
	}
	switch into.Kind() {
	case reflect.Struct:
		b.bindStruct(key, into, node)
	case reflect.Map:
		b.bindMap(key, into, node)
	case reflect.Slice:
		b.bindSlice(key, into, node)
	default:
		b.bindScalar(key, into, node)
	}
}

// named is how messages call a key.
func named(key string) string {
	if key == "" {
		return "the file"
	}
	return key
}

// entries lists the key-value pairs of a mapping; ok is false (with a problem recorded) when the node is none.
func (b *binder) entries(key string, node ast.Node) (entries []*ast.MappingValueNode, ok bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	case *ast.NullNode:
		return nil, true // "train:" with nothing below it leaves the defaults
	}
	b.spoil(key, b.place(node.GetToken()), "%s must be a mapping (key: value), not %s", named(key), describe(node))
	return nil, false
}

// each visits the entries of a mapping once: duplicates and keys that are no plain words are problems.
func (b *binder) each(key string, node ast.Node, visit func(name, dotted string, where place, value ast.Node)) {
	entries, _ := b.entries(key, node)
	seen := map[string]place{}
	for _, entry := range entries {
		at := entry.Key.GetToken()
		where := b.place(at)
		_, word := entry.Key.(*ast.StringNode)
		_, number := entry.Key.(*ast.IntegerNode)
		if !word && !number || at.Value == "" {
			b.problem(where, "%s: %q cannot be a key here; keys are plain words", named(key), at.Value)
			continue
		}
		dotted := join(key, at.Value)
		if first, twice := seen[at.Value]; twice {
			b.problem(where, "duplicate key %s; it is already at %s", dotted, first)
			continue
		}
		seen[at.Value] = where
		visit(at.Value, dotted, where, entry.Value)
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func (b *binder) bindStruct(key string, into reflect.Value, node ast.Node) {
	b.each(key, node, func(name, dotted string, where place, value ast.Node) {
		field, ok := fieldNamed(into, name)
		if !ok {
			known := fieldNames(into.Type())
			hint := suggestion(name, known)
			if at := elsewhere(name); at != "" && into.Type() != reflect.TypeFor[Layer]() && Closest(name, known) == "" {
				hint = fmt.Sprintf("; did you mean %s?", at)
			}
			b.problem(where, "unknown key %s%s", dotted, hint)
			if meant := Closest(name, known); meant != "" {
				b.spoilt[join(key, meant)] = true // that it is missing is no mistake of its own
			}
			return
		}
		b.bind(dotted, field, value)
	})
}

func (b *binder) bindMap(key string, into reflect.Value, node ast.Node) {
	filled := reflect.MakeMap(into.Type())
	b.each(key, node, func(name, dotted string, _ place, value ast.Node) {
		element := reflect.New(into.Type().Elem()).Elem()
		b.bind(dotted, element, value)
		filled.SetMapIndex(reflect.ValueOf(name), element)
	})
	into.Set(filled)
}

func (b *binder) bindSlice(key string, into reflect.Value, node ast.Node) {
	list, ok := node.(*ast.SequenceNode)
	if all, is := node.(*ast.BoolNode); is && into.Type() == reflect.TypeFor[Columns]() {
		into.Set(reflect.ValueOf(Columns(map[bool][]string{true: {AllColumns}}[all.Value])))
		return
	}
	if !ok {
		or := map[bool]string{true: "true, or "}[into.Type() == reflect.TypeFor[Columns]()]
		b.spoil(key, b.place(node.GetToken()), "%s must be %sa list, like [a, b], not %s", key, or, describe(node))
		return
	}
	filled := reflect.MakeSlice(into.Type(), len(list.Values), len(list.Values))
	for i, value := range list.Values {
		b.bind(fmt.Sprintf("%s[%d]", key, i), filled.Index(i), value)
	}
	into.Set(filled)
}

// bindScalar takes the text of a scalar and not the parser's idea of its value: YAML's numbers are full of surprises
// (010 is 8, 1e-3 is text).
func (b *binder) bindScalar(key string, into reflect.Value, node ast.Node) {
	where := b.place(node.GetToken())
	scalar, ok := node.(ast.ScalarNode)
	if _, null := node.(*ast.NullNode); null || !ok {
		b.spoil(key, where, "%s must be %s, not %s", key, wanted(into), describe(node))
		return
	}
	at := scalar.GetToken()
	text, quoted := at.Value, at.Type == token.SingleQuoteType || at.Type == token.DoubleQuoteType
	if literal, is := node.(*ast.LiteralNode); is {
		text, quoted = literal.Value.Value, true
	}
	_, isText := node.(*ast.StringNode)
	isText = isText || quoted
	if isString := into.Kind() == reflect.String; isString && !isText || !isString && quoted {
		b.spoil(key, where, "%s must be %s, not %s", key, wanted(into), describe(node))
		return
	}
	b.setScalar(key, where, into, text)
}

// setScalar stores a scalar's text into a field.
func (b *binder) setScalar(key string, where place, into reflect.Value, text string) {
	var err error
	switch into.Interface().(type) {
	case time.Duration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		into.SetInt(int64(d))
	case string:
		into.SetString(text)
	case bool:
		into.SetBool(text == "true")
		if text != "true" && text != "false" {
			err = strconv.ErrSyntax
		}
	case int:
		var v int64
		v, err = parseInt(text)
		into.SetInt(v)
	case uint64:
		var v uint64
		v, err = parseUint(text)
		into.SetUint(v)
	case float64:
		var v float64
		v, err = parseFloat(text)
		into.SetFloat(v)
	default:
		panic("config: field " + key + " has type " + into.Type().String())
	}
	if err != nil {
		into.SetZero()
		b.spoil(key, where, "%s must be %s, not %s", key, wanted(into), printable.Typed(text))
	}
}

// wanted says what a field takes, in a user's words.
func wanted(into reflect.Value) string {
	switch into.Interface().(type) {
	case time.Duration:
		return "a duration like 300ms or 2s"
	case string:
		return "text (put it into quotes)"
	case bool:
		return "true or false"
	case int:
		return "a whole number (written in decimal, without leading zeros)"
	case uint64:
		return "a whole number from 0 to 18446744073709551615"
	}
	return "a finite number like 0.001 or 1e-3"
}

// describe says what a node is, in a user's words.
func describe(node ast.Node) string {
	switch n := node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.LiteralNode:
		return "a block of text"
	default:
		if t := n.GetToken().Type; t == token.SingleQuoteType || t == token.DoubleQuoteType {
			return "the text " + printable.Short(strconv.Quote(n.GetToken().Value), 60)
		}
		return printable.Typed(n.GetToken().Value)
	}
}

// override is a key set by a flag.
type override struct {
	key, value string
	flag       place // "--set seats=4", "--bind"
}

// apply sets one key on top of what the file said. A scalar takes the value literally; lists and mappings are YAML.
func (b *binder) apply(root reflect.Value, o override) {
	b.flag = o.flag
	defer func() { b.flag = place{} }()
	at, key := root, ""
	for _, name := range strings.Split(o.key, ".") {
		if at.Kind() != reflect.Struct {
			b.problem(o.flag, "%s has no keys of its own", key)
			return
		}
		field, ok := fieldNamed(at, name)
		if !ok {
			b.problem(o.flag, "unknown key %s%s", join(key, name), suggestion(name, fieldNames(at.Type())))
			return
		}
		at, key = field, join(key, name)
	}
	switch at.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		if node := b.parse(key, []byte(o.value)); node != nil {
			b.bind(key, at, node)
		} else if !b.isSpoilt(key) {
			b.spoil(key, o.flag, "%s needs a value", key)
		}
	default:
		b.origin.at[key] = o.flag
		b.setScalar(key, o.flag, at, o.value)
	}
}

// parseSets splits the arguments of --set.
func parseSets(sets []string) ([]override, Problems) {
	var overrides []override
	var problems Problems
	for i, set := range sets {
		flag := flagPlace(i, "--set "+printable.Typed(set))
		key, value, ok := strings.Cut(set, "=")
		if !ok || key == "" {
			problems = append(problems, &Problem{where: flag, Text: "write --set KEY=VALUE, like --set train.steps=200"})
			continue
		}
		overrides = append(overrides, override{key: strings.TrimSpace(key), value: strings.TrimSpace(value), flag: flag})
	}
	return overrides, problems
}

// checkKinds refuses keys that were written but do not exist for the kind next to them, and zeroes the
// fields of all keys that do not exist for it.
func (b *binder) checkKinds(key string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			b.checkKinds(fmt.Sprintf("%s[%d]", key, i), v.Index(i))
		}
	case reflect.Struct:
		if kinds := knownKinds[v.Type()]; kinds != nil && (!slices.Contains(kinds, kindOf(v)) || b.isSpoilt(join(key, "kind"))) {
			return // what exists for it is not known, and that has been said or validate says it
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			if name == "" {
				continue
			}
			dotted := join(key, name)
			if !exists(v, i) {
				if b.origin.written(dotted) {
					b.problem(b.origin.where(dotted), "%s does not exist for %s: %s (only for %s)", dotted, join(key, "kind"),
						printable.Typed(kindOf(v)), strings.ReplaceAll(v.Type().Field(i).Tag.Get("kinds"), ",", ", "))
				}
				v.Field(i).SetZero()
				continue
			}
			b.checkKinds(dotted, v.Field(i))
		}
	}
}

// exists reports whether field i of v has a meaning for the kind of v.
func exists(v reflect.Value, i int) bool {
	kinds := v.Type().Field(i).Tag.Get("kinds")
	return kinds == "" || slices.Contains(strings.Split(kinds, ","), kindOf(v))
}

func kindOf(v reflect.Value) string {
	kind, ok := fieldNamed(v, "kind")
	if !ok {
		return ""
	}
	return kind.String()
}

// fieldNamed finds the field of a struct that holds a key.
func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "" && tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			names = append(names, tag)
		}
	}
	return names
}
