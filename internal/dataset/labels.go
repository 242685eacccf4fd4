package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// maxLabels bounds a file of names of classes in bytes.
const maxLabels = maxDescription / 2

// DescribeLabelled is a description, as Describe writes it, of photos that data.resize brings to one size, with the classes that a
// file names: for a model whose data are elsewhere.
func DescribeLabelled(c config.Data, path string) ([]byte, error) {
	fit := fitOf(c)
	if c.Kind != config.DataImages || fit == nil {
		return nil, config.KeyErrorf("data.resize", "names of classes from a file go with photos whose size data.resize says; this job's data.kind is %s, without it", c.Kind)
	}
	names, err := ReadLabels(path)
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: names, pixels: colourPixels(c, fit.Out())}
	size := fit.Out()
	err = d.sets(&pictures{schema: pictureSchema([]int{channels, size.Y, size.X}, len(names), names), width: channels * size.X * size.Y}, nil, d.pixels)
	return d.Describe(), err
}

// DescribeTokenized is a description, as Describe writes it, of texts or pairs of texts that data.tokenizer reads, for a model whose data are elsewhere.
// labels are the names of the classes of a model that classifies texts.
func DescribeTokenized(c config.Data, labels []string) ([]byte, error) {
	v, err := openTokenizer(c)
	if err != nil {
		return nil, err
	}
	packed := v.tokenizer.Pack()
	if c.Kind == config.DataPairs {
		return json.Marshal(description{Lexicon: &describedLexicon{Tokenizer: packed}})
	}
	if len(labels) > 0 {
		t, err := newTexts(c, v)
		if err != nil {
			return nil, err
		}
		fields := Schema{t.field(c.Texts[0]), {Name: c.Target, Role: Target, Labels: labels}}
		return json.Marshal(description{Table: describeTable(fields, nil), Tokenizer: packed})
	}
	return json.Marshal(description{Context: c.Context, Classes: v.Len(), Tokenizer: packed})
}

// ReadLabels reads the names of a model's classes from a file: one a line, the line's last column where tabs divide it. Where every line begins
// with a number, that is the class's; else they are in order. JSON is read too: a list of names, or Keras' {"0": ["n01440764", "tench"]}.
func ReadLabels(path string) ([]string, error) {
	raw, err := readBounded("labels", path, maxLabels)
	if err != nil {
		return nil, err
	}
	var names []string
	switch text := bytes.TrimSpace(raw); {
	case !utf8.Valid(raw):
		err = fmt.Errorf("it is not UTF-8")
	case len(text) > 0 && (text[0] == '[' || text[0] == '{'):
		names, err = jsonLabels(text)
	default:
		names, err = lineLabels(string(raw))
	}
	if err == nil && (len(names) < 2 || len(names) > maxClasses) {
		err = fmt.Errorf("it names %s; a classifier has 2 to %d", plural.Of(len(names), "class"), maxClasses)
	}
	if err != nil {
		return nil, fmt.Errorf("labels %s: %w", path, err)
	}
	return names, nil
}

func lineLabels(text string) ([]string, error) {
	lines := strings.Split(strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n"), "\n")
	numbered := true
	for _, line := range lines {
		first, _, tabs := strings.Cut(line, "\t")
		_, err := strconv.Atoi(first)
		numbered = numbered && tabs && err == nil
	}
	names := make([]string, len(lines))
	for i, line := range lines {
		columns := strings.Split(strings.TrimRight(line, "\r"), "\t")
		name, class := strings.TrimSpace(columns[len(columns)-1]), i
		if numbered {
			class, _ = strconv.Atoi(columns[0])
		}
		switch {
		case name == "":
			return nil, fmt.Errorf("line %d has no name; write one for each class", i+1)
		case class < 0 || class >= len(names):
			return nil, fmt.Errorf("line %d is of class %d, but %d lines are of the classes 0 to %d", i+1, class, len(names), len(names)-1)
		case names[class] != "":
			return nil, fmt.Errorf("line %d is of class %d, which has the name %s already", i+1, class, printable.Line(names[class], maxList))
		}
		names[class] = name
	}
	return names, nil
}

// jsonLabels reads a list of names, or a mapping from numbers to names or to lists that end with a name.
func jsonLabels(text []byte) ([]string, error) {
	var names []string
	if text[0] == '[' {
		err := json.Unmarshal(text, &names)
		return names, err
	}
	var numbered map[string]any
	if err := json.Unmarshal(text, &numbered); err != nil {
		return nil, err
	}
	names = make([]string, len(numbered))
	for key, value := range numbered {
		class, err := strconv.Atoi(key)
		if list, is := value.([]any); is && len(list) > 0 {
			value = list[len(list)-1]
		}
		name, is := value.(string)
		if err != nil || class < 0 || class >= len(names) || !is || name == "" {
			return nil, fmt.Errorf("key %s: the keys are 0 to %d, each with a name or a list that ends with one", printable.Typed(key), len(names)-1)
		}
		names[class] = name
	}
	return names, nil
}
