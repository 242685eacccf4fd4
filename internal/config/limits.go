package config

import (
	"fmt"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a configuration, since some come from strangers. The YAML library recurses into what is nested and takes time and
// memory with the square of the depth, of the number of keys of a mapping, and of the number of empty lines at the end of a block of
// text. A job file of the longest model nests less than a tenth as deeply.
const (
	maxBytes     = 64 << 10 // of a file, or of a value on the command line
	maxDepth     = 64       // mappings and lists within each other
	maxKeys      = 1024     // of a mapping in block style
	maxBlank     = 100      // empty lines in a row
	maxDocuments = 8        // that are parsed before the second is refused
	maxMessage   = 1000     // bytes of one of them
	maxProblems  = 50       // that one error lists
)

// blankRun finds the line, from 1, at which more than maxBlank empty ones have come in a row; 0: nowhere.
func blankRun(text []byte) (line int) {
	line, run := 1, 0
	for i, c := range text {
		switch {
		case c == '\n' && i > 0 && text[i-1] == '\r': // ends the line that has been counted
			line++
		case c == '\n':
			line++
			run++
		case c == '\r': // alone it ends a line too
			run++
		case c != ' ' && c != '\t':
			run = 0
		}
		if run > maxBlank+1 {
			return line
		}
	}
	return 0
}

// tokenize splits a text into YAML's tokens, which the parser may then be given. Where it must not, at is the token that is too much,
// and reason says why.
func tokenize(text []byte) (tokens token.Tokens, at *token.Token, reason string) {
	tokens = lexer.Tokenize(string(text))
	flow, documents := 0, 0
	var columns []int // of the dashes, question marks and colons of the block style that stand within each other
	var open mappings
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.DocumentHeaderType:
			documents++
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if flow == 0 {
				columns = append(within(columns, t.Position.Column), t.Position.Column)
			}
		}
		switch {
		case flow+len(columns) > maxDepth:
			return tokens, t, fmt.Sprintf("more than %d mappings and lists are nested here; write it flatter", maxDepth)
		case documents > maxDocuments:
			return tokens, t, "a second document begins here; write one document a file"
		case flow == 0 && open.note(t) > maxKeys:
			return tokens, t, fmt.Sprintf("a mapping has more than %d keys here; delete those that are too many", maxKeys)
		}
	}
	return tokens, nil, ""
}

// mappings are those of the block style that are open, the outermost first: where their keys stand, and how many have come.
type mappings struct {
	columns, keys []int
}

// note returns how many keys the innermost mapping has when a token has come; 0 where that is no key.
func (m *mappings) note(t *token.Token) int {
	column := t.Position.Column
	switch {
	case t.Type == token.MappingValueType && t.Prev != nil && t.Prev.Type != token.MappingKeyType:
		column = t.Prev.Position.Column // of the key
	case t.Type == token.SequenceEntryType, t.Type == token.MappingKeyType, t.Type == token.MappingValueType:
	default:
		return 0
	}
	m.columns = within(m.columns, column+1)
	n := len(m.columns)
	m.keys = m.keys[:n]
	switch {
	case t.Type == token.SequenceEntryType:
		return 0
	case n > 0 && m.columns[n-1] == column:
		m.keys[n-1]++
		return m.keys[n-1]
	}
	m.columns, m.keys = append(m.columns, column), append(m.keys, 1)
	return 1
}

// within are those of the increasing columns that are left of a column.
func within(columns []int, column int) []int {
	for len(columns) > 0 && columns[len(columns)-1] >= column {
		columns = columns[:len(columns)-1]
	}
	return columns
}
