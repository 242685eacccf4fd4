package tokenizer

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// decoder turns tokens back into text, which is what it returns joined.
type decoder interface {
	decode(tokens []string) []string
}

type decoders []decoder

func (all decoders) decode(tokens []string) []string {
	for _, d := range all {
		tokens = d.decode(tokens)
	}
	return tokens
}

// byteDecoder reads the byte alphabet. Bytes that are not UTF-8 become U+FFFD.
type byteDecoder struct{}

func (byteDecoder) decode(tokens []string) []string {
	var text []byte
	for _, t := range tokens {
		text = unspell(text, t)
	}
	return []string{lossy(text)}
}

// lossy is a text with U+FFFD for every longest stretch of bytes that begins a character and does not end it (Unicode, section 3.9), and
// for every other byte that is not UTF-8.
func lossy(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var out []byte
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			n = begun(text[i:])
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	return string(out)
}

// begun is the length of the longest beginning of a text that could be a character's, and at least 1.
func begun(text []byte) int {
	n := 1
	for n < min(len(text), utf8.UTFMax) && !utf8.FullRune(text[:n+1]) {
		n++
	}
	if utf8.FullRune(text[:1]) {
		return 1
	}
	return n
}

// wordDecoder joins words with spaces, and what has the prefix without one.
type wordDecoder struct {
	prefix  string
	cleanup bool
}

// cleaned takes out the spaces that tokenizing has put before punctuation.
func cleaned(text string) string {
	for _, pair := range [][2]string{{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}

func (d wordDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		if i > 0 {
			rest, continues := strings.CutPrefix(t, d.prefix)
			if t = rest; !continues {
				t = " " + rest
			}
		}
		if d.cleanup {
			t = cleaned(t)
		}
		tokens[i] = t
	}
	return tokens
}

// suffixDecoder makes a space of the suffix that ends words.
type suffixDecoder struct{ suffix string }

func (d suffixDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		by := " "
		if i == len(tokens)-1 {
			by = ""
		}
		tokens[i] = strings.ReplaceAll(t, d.suffix, by)
	}
	return tokens
}

// byteFallbackDecoder joins byte tokens (<0x0A>) to characters. Where they make none, each is U+FFFD.
type byteFallbackDecoder struct{}

func (byteFallbackDecoder) decode(tokens []string) []string {
	var out []string
	var pending []byte
	flush := func() {
		if utf8.Valid(pending) {
			if len(pending) > 0 {
				out = append(out, string(pending))
			}
		} else {
			for range pending {
				out = append(out, string(utf8.RuneError))
			}
		}
		pending = pending[:0]
	}
	for _, t := range tokens {
		if b, ok := byteToken(t); ok {
			pending = append(pending, b)
			continue
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}

// byteToken is the byte that a token like <0x0A> stands for.
func byteToken(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	value := 0
	for _, c := range []byte(token[3:5]) {
		i := bytes.IndexByte([]byte("0123456789ABCDEF"), c)
		if i < 0 {
			if i = bytes.IndexByte([]byte("abcdef"), c); i < 0 {
				return 0, false
			}
			i += 10
		}
		value = value<<4 | i
	}
	return byte(value), true
}

// fuse joins all tokens.
type fuse struct{}

func (fuse) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// stripDecoder takes up to start characters off the beginning of every token, and up to stop off its end.
type stripDecoder struct {
	content     string // one character
	start, stop int
}

func (d stripDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		for n := 0; n < d.start && strings.HasPrefix(t, d.content); n++ {
			t = t[len(d.content):]
		}
		for n := 0; n < d.stop && strings.HasSuffix(t, d.content); n++ {
			t = t[:len(t)-len(d.content)]
		}
		tokens[i] = t
	}
	return tokens
}

// decode replaces in every token.
func (r replace) decode(tokens []string) []string {
	for i, t := range tokens {
		var out []byte
		text, done := []byte(t), 0
		for start, end := r.find(text, 0); start >= 0; start, end = r.find(text, end) {
			out = append(append(out, text[done:start]...), r.content...)
			done = end
		}
		if done > 0 {
			tokens[i] = string(append(out, text[done:]...))
		}
	}
	return tokens
}
