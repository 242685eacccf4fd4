package generate

import "slices"

// guess drafts tokens that may come next: those that came after the last tokens where they stood before (prompt lookup decoding, Saxena 2023). The
// model then reads its parameters once for the whole draft, and what it would not have written is dropped (speculative decoding, Leviathan et
// al. 2023). The draft grows with success. Without, it is tried less and less often, so that a text which never repeats costs little more.
type guess struct {
	length int // tokens of the next draft; 0 is 1
	wait   int // tokens to come before the next draft
	misses int // drafts in a row of which no token was right
}

// What a guess looks for, and how it is bounded.
const (
	longestMatch  = 4 // tokens that must have stood before, at most and at least
	shortestMatch = 2
	lookBack      = 1 << 13 // tokens of a text that are looked through
	mostMisses    = 6       // a draft is tried at least once in 2 to the power of this many tokens
)

// draft appends a draft of at most room tokens after a text.
func (g *guess) draft(to, text []int32, room int) []int32 {
	if g.wait > 0 {
		g.wait--
		return to
	}
	room = min(room, max(g.length, 1))
	if room < 1 {
		return to
	}
	text = text[max(0, len(text)-lookBack):]
	for n := longestMatch; n >= shortestMatch; n-- {
		after := lastMatch(text, n)
		if after < 0 {
			continue
		}
		drafted := len(to)
		for i := after; i < after+room; i++ {
			if i < len(text) {
				to = append(to, text[i])
			} else {
				to = append(to, to[drafted+i-len(text)]) // what repeats goes on to repeat
			}
		}
		return to
	}
	return to
}

// lastMatch is the place after the last occurrence of the text's last n tokens before its end; -1: there is none.
func lastMatch(text []int32, n int) int {
	last := text[max(0, len(text)-n):]
	for end := len(text) - 1; end >= n && len(last) == n; end-- {
		if text[end-1] == last[n-1] && slices.Equal(text[end-n:end], last) {
			return end
		}
	}
	return -1
}

// learn is told how many tokens of a draft were right.
func (g *guess) learn(drafted, right int) {
	switch {
	case drafted == 0:
	case right == 0:
		g.length, g.misses = 1, min(g.misses+1, mostMisses)
		g.wait = 1<<g.misses - 1
	case right == drafted:
		g.length, g.misses = 2*drafted, 0
	default:
		g.length, g.misses = right, 0
	}
}
