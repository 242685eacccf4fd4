package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// byteScore is the score of a byte's token: far less likely than any character that was seen.
const byteScore = -1000

// quoted is a text as JSON writes it.
func quoted(text string) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string can be written
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// writeHead begins a tokenizer.json: all but the parts that depend on the kind.
func writeHead(out *bytes.Buffer, special []string, normalize string) {
	out.WriteString("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	for i, token := range special {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, "\n    {\"id\": %d, \"content\": %s, \"single_word\": false, \"lstrip\": %v, \"rstrip\": false, \"normalized\": false, \"special\": true}", i, quoted(token), slices.Contains(maskTokens, token))
	}
	out.WriteString("\n  ],\n  \"normalizer\": ")
	out.WriteString(map[string]string{"nfc": `{"type": "NFC"}`, "nfkc": `{"type": "NFKC"}`, "lowercase": `{"type": "Lowercase"}`}[normalize])
	if normalize == "" || normalize == "none" {
		out.WriteString("null")
	}
	out.WriteString(",\n")
}

// writePairs writes the tokenizer.json of a byte-level BPE.
func writePairs(vocabulary []string, merges [][2]int32, o Training) []byte {
	out := &bytes.Buffer{}
	writeHead(out, o.Special, o.Normalize)
	const level = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": %v, "use_regex": true}`
	fmt.Fprintf(out, "  \"pre_tokenizer\": "+level+",\n  \"post_processor\": %s,\n  \"decoder\": "+level+",\n", true, o.postProcessor(fmt.Sprintf(level, false)), true)
	out.WriteString("  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n" +
		"    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {")
	for i, token := range vocabulary {
		fmt.Fprintf(out, "%s\n      %s: %d", comma(i), quoted(token), i)
	}
	out.WriteString("\n    },\n    \"merges\": [")
	for i, m := range merges {
		fmt.Fprintf(out, "%s\n      [%s, %s]", comma(i), quoted(vocabulary[m[0]]), quoted(vocabulary[m[1]]))
	}
	out.WriteString("\n    ]\n  }\n}\n")
	return out.Bytes()
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// unknownToken stands for what a Unigram model cannot write. With a token for each byte it never has to.
const unknownToken = "<unk>"

// withUnknown are the special tokens with the unknown one, which is the last where it was not among them.
func withUnknown(special []string) []string {
	if slices.Contains(special, unknownToken) {
		return special
	}
	return append(slices.Clone(special), unknownToken)
}

// writePieces writes the tokenizer.json of a Unigram model with byte fallback. The special tokens come first, then the
// bytes, then what was learned.
func writePieces(pieces []scoredPiece, o Training) []byte {
	out := &bytes.Buffer{}
	special := withUnknown(o.Special)
	writeHead(out, special, o.Normalize)
	const metaspace = `{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}`
	pre := metaspace
	if o.Apart {
		pre = `{"type": "Sequence", "pretokenizers": [` + metaspace + `, {"type": "Punctuation", "behavior": "Isolated"}]}`
	}
	out.WriteString("  \"pre_tokenizer\": " + pre + ",\n  \"post_processor\": " + o.postProcessor("") + ",\n  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"}, " + metaspace + "]},\n")
	fmt.Fprintf(out, "  \"model\": {\n    \"type\": \"Unigram\",\n    \"unk_id\": %d,\n    \"byte_fallback\": true,\n    \"vocab\": [", slices.Index(special, unknownToken))
	written := 0
	write := func(token string, score float64) {
		fmt.Fprintf(out, "%s\n      [%s, %s]", comma(written), quoted(token), strconv.FormatFloat(score, 'f', -1, 64))
		written++
	}
	for _, token := range special {
		write(token, 0)
	}
	for b := range 256 {
		write(fmt.Sprintf("<0x%02X>", b), byteScore)
	}
	for _, p := range pieces {
		write(p.text, p.score)
	}
	out.WriteString("\n    ]\n  }\n}\n")
	return out.Bytes()
}
