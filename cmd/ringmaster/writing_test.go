package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsShownStays takes texts as they grow, byte by byte: what is shown of each is a beginning of all that follow, and in the end all but what
// stops it.
func TestWhatIsShownStays(t *testing.T) {
	for _, c := range []struct {
		stop       []string
		text, want string
	}{
		{nil, "wörld 日本\n", "wörld 日本\n"},
		{[]string{"\n\n"}, "a\nb\n\nc", "a\nb"},
		{[]string{"STOP", "OPEN"}, "a STO STOPEN", "a STO "},
		{[]string{"aab"}, "aaaab", "aa"},
		{[]string{"日本"}, "ab日本", "ab"},
		{[]string{"x"}, "ab\xff", "ab\xff"},
	} {
		w := &writer{stop: c.stop}
		shown := ""
		for n := range len(c.text) + 1 {
			now := w.settled(c.text[:n])
			if !strings.HasPrefix(now, shown) && !strings.HasPrefix(shown, now) {
				t.Errorf("%q: %q is shown after %q", c.text[:n], now, shown)
			}
			if len(now) > len(shown) {
				shown = now
			}
			if strings.ContainsRune(shown, '\uFFFD') && !strings.Contains(c.want, "\xff") {
				t.Errorf("%q: %q is shown, a part of a character", c.text[:n], shown)
			}
		}
		if got, _ := w.before(c.text); got != c.want || !strings.HasPrefix(c.want, shown) {
			t.Errorf("%q comes to %q, shown %q, want %q", c.text, got, shown, c.want)
		}
	}
}

func TestPromptsOfAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		name, text string
		want       []string
		problem    string
	}{
		{"a.txt", "one\r\n\ntwo words", []string{"one", "", "two words"}, ""},
		{"a.jsonl", "{\"prompt\": \"one\\nline\", \"id\": 3}\n{\"prompt\": \"\"}\n", []string{"one\nline", ""}, ""},
		{"b.jsonl", "{\"prompt\": \"one\"}\n{\"text\": \"two\"}\n", nil, "b.jsonl:2: a line of prompts is"},
		{"empty.txt", "", nil, "empty.txt has no prompts"},
	} {
		if err := os.WriteFile(c.name, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		w := wish{file: c.name}
		got, where, err := w.read()
		switch {
		case c.problem != "":
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v, want %s", c.name, err, c.problem)
			}
		case err != nil || !slices.Equal(got, c.want) || where(1) != c.name+":2":
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
