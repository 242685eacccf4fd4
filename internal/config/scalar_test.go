package config

import "testing"

func TestClosestMakesFewMistakesOutOfShortWords(t *testing.T) {
	for _, test := range []struct {
		word, want string
		known      []string
	}{
		{"foo", "", []string{"log", "dir", "fork"}},
		{"lgo", "log", []string{"dir", "log"}},
		{"og", "log", []string{"dir", "log"}},
		{"knid", "kind", []string{"kinds", "kind"}},
		{"seed", "seed", []string{"seeds", "seed", "feed"}},
		{"sede", "", []string{"deed", "data"}},
		{"worekr", "worker", []string{"order", "worker"}},
		{"stpes", "steps", []string{"stops", "steps"}},
		{"checkponits", "checkpoint", []string{"checkpoint", "chaos"}},
		{"", "", []string{"dir", "log"}},
		{"KIND", "kind", []string{"find", "kind"}},
	} {
		if have := Closest(test.word, test.known); have != test.want {
			t.Errorf("closest to %q of %v is %q, want %q", test.word, test.known, have, test.want)
		}
	}
}
