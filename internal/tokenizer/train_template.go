package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// maskTokens are the special tokens that stand for a hidden one. They take the blank before them, which is a part of the token that they hide.
var maskTokens = []string{"[MASK]", "<mask>"}

// trainedTemplates are the templates that a trained tokenizer can have: what is put around a text, and around a pair. A and B are the texts; a digit is
// the segment of what it stands behind, which is 0 without one.
var trainedTemplates = map[string][2]string{
	"bert": {"[CLS] A [SEP]", "[CLS] A [SEP] B1 [SEP]1"},
	"t5":   {"A </s>", "A </s> B </s>"},
}

// postProcessor is the part of a tokenizer.json that frames texts, behind another processor where there is one; null for neither.
func (o *Training) postProcessor(before string) string {
	if o.Template == "" {
		return cmp.Or(before, "null")
	}
	var special []string
	side := func(of string) string {
		var parts []string
		for _, word := range strings.Fields(of) {
			kind := "0"
			if last := word[len(word)-1]; last == '0' || last == '1' {
				word, kind = word[:len(word)-1], string(last)
			}
			name := "SpecialToken"
			if word == "A" || word == "B" {
				name = "Sequence"
			} else if token := fmt.Sprintf(`%[1]s: {"id": %[1]s, "ids": [%[2]d], "tokens": [%[1]s]}`, quoted(word), slices.Index(o.Special, word)); !slices.Contains(special, token) {
				special = append(special, token)
			}
			parts = append(parts, fmt.Sprintf(`{"%s": {"id": %s, "type_id": %s}}`, name, quoted(word), kind))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	t := trainedTemplates[o.Template]
	text := fmt.Sprintf(`{"type": "TemplateProcessing", "single": %s, "pair": %s, "special_tokens": {%%s}}`, side(t[0]), side(t[1]))
	text = fmt.Sprintf(text, strings.Join(special, ", "))
	if before == "" {
		return text
	}
	return `{"type": "Sequence", "processors": [` + before + ", " + text + "]}"
}

// checkTemplate refuses a template whose tokens are not among the special ones.
func (o *Training) checkTemplate() error {
	if o.Template == "" {
		return nil
	}
	t, ok := trainedTemplates[o.Template]
	if !ok {
		return fmt.Errorf("there is no template %s; there are bert and t5", printable.Typed(o.Template))
	}
	for _, word := range strings.Fields(t[0]) {
		if word != "A" && !slices.Contains(o.Special, word) {
			return fmt.Errorf("the template %s puts %s beside a text, which is not among the special tokens", o.Template, word)
		}
	}
	return nil
}
