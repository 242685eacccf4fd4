package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
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

// eval --bleu --json gives the figures that sacrebleu gives for the translations that --out has: those recorded are of
//
//	sacrebleu.corpus_bleu(translations, [targets])    (score, precisions, bp, sys_len, ref_len; version 2.6.0)
func TestBLEUAsJSON(t *testing.T) {
	dir := t.TempDir()
	pairs := func(name string, rows ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("de\ten\n"+strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	train := pairs("train.tsv", "ein Hund\tone dog runs .", "eine Katze\ta cat sleeps here", "zwei Hunde\ttwo dogs run there")
	model := untrained(t, "name: t5\nseats: 1\nmodel: {kind: t5, depth: 1, heads: 2, width: 16}\ndata: {kind: pairs, train: "+train+", eval: "+train+
		", source: de, target: en, context: 8, target_context: 12}\ntrain: {steps: 1, batch_per_seat: 1}\n")
	eval := pairs("eval.tsv", "ein Hund\tone dog", "eine Katze schläft hier und dort und da und weit weg\there here here here here, here here here here here here here here")
	out := filepath.Join(dir, "translations.txt")
	code, said, errs := typed(t, []string{"eval", model, "--bleu", "--json", "--out", out, "--set", "data.eval=" + eval, "--threads", "1"})
	raw, err := os.ReadFile(out)
	if err != nil || code != 0 || string(raw) != "\n"+strings.TrimSpace(strings.Repeat("here ", 12))+"\n" {
		t.Fatalf("exit code %d, %v: %s\n%s", code, err, errs, raw)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"bleu": 65.54048980842734, "brevity_penalty": 0.7165313105737893, "length": 12, "reference_length": 16, "texts": 2, "cut": 1, "beams": 1} {
		if figure, is := got[name].(float64); !is || math.Abs(figure-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	precisions, _ := got["precisions"].([]any)
	for i, want := range []float64{100, 100, 90, 77.77777777777777} {
		if len(precisions) != 4 || math.Abs(precisions[i].(float64)-want) > 1e-9 {
			t.Errorf("precisions are %v", precisions)
		}
	}
	if got["signature"] != "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0" || got["job"] != "t5" || got["checkpoint"] != model || len(got["digest"].(string)) != 64 || len(got) != 12 {
		t.Errorf("it says %s", said)
	}
}
