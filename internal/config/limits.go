package config

import (
	"fmt"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a configuration, since some come from strangers. The YAML library recurses into what is nested and takes time and
// memory with the square of the depth, and of the number of empty lines at the end of a block of text. A job file of the longest
// model nests less than a tenth as deeply.
const (
	maxBytes     = 64 << 10 // of a file, or of a value on the command line
	maxDepth     = 64       // mappings and lists within each other
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
		if flow+len(columns) > maxDepth {
			return tokens, t, fmt.Sprintf("more than %d mappings and lists are nested here; write it flatter", maxDepth)
		}
		if documents > maxDocuments {
			return tokens, t, "a second document begins here; write one document a file"
		}
	}
	return tokens, nil, ""
}

// within are those of the increasing columns that are left of a column.
func within(columns []int, column int) []int {
	for len(columns) > 0 && columns[len(columns)-1] >= column {
		columns = columns[:len(columns)-1]
	}
	return columns
}
