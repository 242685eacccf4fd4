package main

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
)

func TestFlagsOfBLEU(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, ""},
		{[]string{"--bleu"}, ""},
		{[]string{"--bleu", "--beams", "4", "--length-penalty", "0.6"}, ""},
		{[]string{"--beams", "4"}, "--beams goes with --bleu"},
		{[]string{"--out", "x.txt"}, "--out goes with --bleu"},
		{[]string{"--bleu", "--beams", "0"}, "--beams must be from 1 to 1024, not 0"},
		{[]string{"--bleu", "--batch", "2000"}, "--batch must be from 1 to 1024, not 2000"},
		{[]string{"--bleu", "--length-penalty", "2"}, "--length-penalty goes with --beams"},
		{[]string{"--bleu", "--part", "test"}, "--part does not go with --bleu: name the pairs by --set data.eval=PLACE"},
	} {
		var b translation
		cmd := &cobra.Command{}
		b.bind(cmd)
		cmd.Flags().String("part", "", "")
		if err := cmd.ParseFlags(c.flags); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := b.check(cmd); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.flags, got, c.want)
		}
	}
}

// A translation is a line, whatever the model writes.
func TestTranslationsAreLines(t *testing.T) {
	var out bytes.Buffer
	if err := writeLines(&out, []string{"a\r\nb\nc", "", "d\re"}); err != nil || out.String() != "a b c\n\nd e\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
