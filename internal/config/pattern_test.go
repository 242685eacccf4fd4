package config

import "testing"

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"fc.weight", "fc.weight", true},
		{"fc", "fc.weight", true},
		{"f", "fc.weight", false},
		{"layer4.0", "layer4.0.conv1.weight", true},
		{"layer4.0", "layer4.01.conv1.weight", false},
		{"*.bias", "layer4.0.bias", true},
		{"*.bias", "bias", false},
		{"*", "fc.weight", true},
		{"layer[34]", "layer3.0.weight", true},
		{"layer[34]", "layer2.0.weight", false},
		{"weight", "fc.weight", false},
	} {
		if got := Matches(test.pattern, test.name); got != test.want {
			t.Errorf("Matches(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

func TestPatternsRememberWhatTheyNamed(t *testing.T) {
	p := NewPatterns([]string{"fc", "*.weight"})
	if !p.Match("0.weight") || p.Match("0.bias") {
		t.Error("the patterns name other tensors")
	}
	if unused := p.Unused(); len(unused) != 1 || unused[0] != 0 {
		t.Errorf("patterns %v", unused)
	}
	if p.First("fc.weight") != 0 || p.First("a.weight") != 1 {
		t.Error("the first pattern that names a tensor is another")
	}
	if len(p.Unused()) > 0 {
		t.Error("all have named one")
	}
}

// A job without weights to begin from is written as before there were any, and what is left out reads back.
func TestInitIsWrittenWhereItIs(t *testing.T) {
	for text, want := range map[string]Model{
		"":                              {InitStrict: true},
		"{init: a, init_skip: [fc]}":    {Init: "a", InitStrict: true, InitSkip: []string{"fc"}},
		"{init: a, init_strict: false}": {Init: "a"},
	} {
		j, err := Parse("x.yaml", []byte("model: "+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(j.Encode())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []Model{j.Model, back.Model} {
			if m.Init != want.Init || m.InitStrict != want.InitStrict || len(m.InitSkip) != len(want.InitSkip) {
				t.Errorf("%s: %+v", text, m)
			}
		}
		items := 0
		for _, item := range j.Contract() {
			if len(item.Key) >= 10 && item.Key[:10] == "model.init" {
				items++
			}
		}
		if wanted := map[bool]int{true: 0, false: 2}[text == ""]; items != wanted {
			t.Errorf("%q: %d items of the contract, want %d", text, items, wanted)
		}
	}
}

// A resumed job takes over the digest of the weights that it began from; beginning from others is another job.
func TestInheritInit(t *testing.T) {
	digest := "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	parse := func(model string) *Job {
		j, err := Parse("x.yaml", []byte("model: "+model), nil)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	old := parse("{init: a, init_digest: " + `"` + digest + `"}`)
	for model, same := range map[string]bool{"{init: a}": true, "{init: b}": false, "{}": false, "{init: a, init_strict: false}": false} {
		next := parse(model)
		next.Inherit(old)
		if got := len(Changes(old, next)) == 0; got != same {
			t.Errorf("%s: %v", model, Changes(old, next))
		}
		if same && next.Model.InitDigest != digest {
			t.Errorf("%s: digest %q", model, next.Model.InitDigest)
		}
	}
	plain, next := parse("{}"), parse("{init: a}")
	next.Inherit(plain)
	if d := Changes(plain, next); len(d) != 1 || d[0].Key != "model.init" {
		t.Errorf("weights added: %v", d)
	}
}
