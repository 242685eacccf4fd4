package tokenizer

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// pattern finds the first match in text that begins at offset from or later. start is negative where there is none.
// No match is empty.
type pattern func(text []byte, from int) (start, end int)

// literal matches a text.
func literal(text string) pattern {
	return func(in []byte, from int) (int, int) {
		if text == "" {
			return -1, 0
		}
		i := bytes.Index(in[from:], []byte(text))
		if i < 0 {
			return -1, 0
		}
		return from + i, from + i + len(text)
	}
}

// one matches single characters of a class.
func one(c class) pattern {
	table := classes()
	return func(text []byte, from int) (int, int) {
		for at := from; at < len(text); {
			k, n := classAt(table, text, at)
			if k&c != 0 {
				return at, at + n
			}
			at += n
		}
		return -1, 0
	}
}

// run matches stretches of at least least characters that are all c, and at most most of them.
func run(is func(r rune) bool, least, most int) pattern {
	return func(text []byte, from int) (int, int) {
		for at := from; at < len(text); {
			start, count := at, 0
			for at < len(text) && count < most {
				r, n := utf8.DecodeRune(text[at:])
				if !is(r) {
					break
				}
				at += n
				count++
			}
			if count >= least {
				return start, at
			}
			_, n := utf8.DecodeRune(text[start:])
			at = start + n
		}
		return -1, 0
	}
}

const unbounded = int(^uint(0) >> 1)

// patterns are the regular expressions that are known. Go's regexp has no look-ahead, which the usual ones need, and the library's own
// engine is another one; so each is written by hand, and an expression that is not here is refused.
var patterns = map[string]func() pattern{
	gpt2Expression: func() pattern { return scanner(gpt2Word) },
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: func() pattern { return scanner(modernWord(3)) },
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      func() pattern { return scanner(modernWord(1)) },
	clipExpression:    func() pattern { return clipWord },
	`\s{2,}|[\n\r\t]`: func() pattern { return blankRun },
	`\s+`:             func() pattern { return run(unicode.IsSpace, 1, unbounded) },
	`\s`:              func() pattern { return one(blank) },
	` {2,}`:           func() pattern { return run(func(r rune) bool { return r == ' ' }, 2, unbounded) },
	` +`:              func() pattern { return run(func(r rune) bool { return r == ' ' }, 1, unbounded) },
	`\d`:              func() pattern { return one(digit) },
	`\d+`:             func() pattern { return run(unicode.IsDigit, 1, unbounded) },
	`\p{N}`:           func() pattern { return one(numeral) },
	`\p{N}+`:          func() pattern { return run(unicode.IsNumber, 1, unbounded) },
	`[0-9]`:           func() pattern { return run(isASCIIDigit, 1, 1) },
	`[0-9]+`:          func() pattern { return run(isASCIIDigit, 1, unbounded) },
	`\p{N}{1,3}`:      func() pattern { return run(unicode.IsNumber, 1, 3) },
	`[0-9][0-9][0-9]`: func() pattern { return run(isASCIIDigit, 3, 3) },
}

// clipExpression is CLIP's rule of what a word is. Blanks are between words.
const clipExpression = `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`

func clipWord(text []byte, from int) (int, int) {
	table := classes()
	at := while(table, text, from, blank, 0)
	if at == len(text) {
		return -1, 0
	}
	for _, whole := range []string{"<|startoftext|>", "<|endoftext|>"} {
		if bytes.HasPrefix(text[at:], []byte(whole)) {
			return at, at + len(whole)
		}
	}
	if text[at] == '\'' {
		if n := contraction(text[at+1:], false); n > 0 {
			return at, at + 1 + n
		}
	}
	switch c, n := classAt(table, text, at); {
	case c&letter != 0:
		return at, while(table, text, at, letter, 0)
	case c&numeral != 0:
		return at, at + n
	}
	return at, while(table, text, at, 0, blank|letter|numeral)
}

// blankRun matches two or more blanks, and line ends and tabs by themselves.
func blankRun(text []byte, from int) (int, int) {
	table := classes()
	for at := from; at < len(text); {
		c, n := classAt(table, text, at)
		if c&blank != 0 {
			end := while(table, text, at, blank, 0)
			if end > at+n || text[at] == '\n' || text[at] == '\r' || text[at] == '\t' {
				return at, end
			}
		}
		at += n
	}
	return -1, 0
}

func isASCIIDigit(r rune) bool { return r >= '0' && r <= '9' }

// gpt2Expression is GPT-2's rule of what a word is.
const gpt2Expression = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// scanner makes a pattern of a rule that matches at every offset: word is the end of the match at an offset.
func scanner(word func(table *[unicode.MaxRune + 1]class, text []byte, at int) int) pattern {
	table := classes()
	return func(text []byte, from int) (int, int) {
		if from >= len(text) {
			return -1, 0
		}
		return from, word(table, text, from)
	}
}

// while is the end of the stretch from offset at on whose characters have one of the properties want and none of not.
func while(table *[unicode.MaxRune + 1]class, text []byte, at int, want, not class) int {
	for at < len(text) {
		c, n := classAt(table, text, at)
		if want != 0 && c&want == 0 || c&not != 0 {
			break
		}
		at += n
	}
	return at
}

// gpt2Word is the end of the word at an offset by GPT-2's rule.
func gpt2Word(table *[unicode.MaxRune + 1]class, text []byte, at int) int {
	if text[at] == '\'' {
		if n := contraction(text[at+1:], false); n > 0 {
			return at + 1 + n
		}
	}
	start := at
	if text[at] == ' ' {
		start++
	}
	switch c, _ := classAt(table, text, start); {
	case start == len(text) || c&blank != 0:
		return blanks(table, text, at)
	case c&letter != 0:
		return while(table, text, start, letter, 0)
	case c&numeral != 0:
		return while(table, text, start, numeral, 0)
	}
	return while(table, text, start, 0, blank|letter|numeral)
}

// blanks is the end of the match of \s+(?!\S)|\s+ at an offset: of a run of blanks before something else all but the last, which
// belongs to what follows.
func blanks(table *[unicode.MaxRune + 1]class, text []byte, at int) int {
	end := while(table, text, at, blank, 0)
	if end == len(text) {
		return end
	}
	_, last := utf8.DecodeLastRune(text[at:end])
	if end-last > at {
		return end - last
	}
	return end
}

// contraction is the length of an English ending after an apostrophe: s, t, re, ve, m, ll or d; 0 where there is none.
func contraction(text []byte, anyCase bool) int {
	lower := func(i int) byte {
		if i >= len(text) {
			return 0
		}
		if c := text[i]; anyCase && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return text[i]
	}
	switch first, second := lower(0), lower(1); {
	case first == 's' || first == 't':
		return 1
	case first == 'r' && second == 'e' || first == 'v' && second == 'e':
		return 2
	case first == 'm':
		return 1
	case first == 'l' && second == 'l':
		return 2
	case first == 'd':
		return 1
	case anyCase && bytes.HasPrefix(text, []byte("ſ")): // the long s, whose capital is S
		return len("ſ")
	}
	return 0
}

// modernWord is the rule of what a word is that Llama 3 (digits 3) and Qwen (1) use.
func modernWord(digits int) func(table *[unicode.MaxRune + 1]class, text []byte, at int) int {
	return func(table *[unicode.MaxRune + 1]class, text []byte, at int) int {
		if text[at] == '\'' {
			if n := contraction(text[at+1:], true); n > 0 {
				return at + 1 + n
			}
		}
		c, n := classAt(table, text, at)
		if c&letter != 0 {
			return while(table, text, at, letter, 0)
		}
		if c&numeral != 0 {
			end := at + n
			for count := 1; count < digits; count++ {
				k, n := classAt(table, text, end)
				if k&numeral == 0 {
					break
				}
				end += n
			}
			return end
		}
		if next, _ := classAt(table, text, at+n); next&letter != 0 && text[at] != '\r' && text[at] != '\n' {
			return while(table, text, at+n, letter, 0)
		}
		return otherWord(table, text, at, c)
	}
}

// otherWord is the rest of modernWord: what is neither a letter nor a number.
func otherWord(table *[unicode.MaxRune + 1]class, text []byte, at int, c class) int {
	start := at
	if text[at] == ' ' {
		start++
		c, _ = classAt(table, text, start)
	}
	if start < len(text) && c&(blank|letter|numeral) == 0 {
		end := while(table, text, start, 0, blank|letter|numeral)
		for end < len(text) && (text[end] == '\r' || text[end] == '\n') {
			end++
		}
		return end
	}
	end := while(table, text, at, blank, 0)
	if i := bytes.LastIndexAny(text[at:end], "\r\n"); i >= 0 {
		return at + i + 1
	}
	return blanks(table, text, at)
}
