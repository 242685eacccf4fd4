package config

import (
	"bytes"
	"strings"
	"testing"

	"ringmaster/internal/test/cost"
)

// perByte is how many bytes reading a text may allocate for each of its bytes. The YAML library allocates up to half a kilobyte for what
// is short; what the bounds are for took ten kilobytes and more.
const perByte = 2 << 10

// parseCost reads a text as a job and holds it to the bound.
func parseCost(t *testing.T, text []byte) (j *Job, err error) {
	t.Helper()
	cost.Bound(t, len(text), perByte, func() { j, err = Parse("job.yaml", text, nil) })
	if err != nil && len(err.Error()) > 64<<10 {
		t.Errorf("%d bytes, %.60q..., gave a message of %d bytes", len(text), text, len(err.Error()))
	}
	return j, err
}

// Texts as long as they may be cost a bounded amount and are refused in one line of bearable length.
func TestCostIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ begin, repeat, end, want string }{
		"brackets":            {"", "[", "", "job.yaml:1:65: more than 64 mappings and lists are nested here"},
		"closed brackets":     {strings.Repeat("[", maxBytes/2), "]", "", "job.yaml:1:65: more than 64"},
		"braces":              {"", "{a: ", "", "more than 64"},
		"dashes":              {"", "- ", "", "job.yaml:1:129: more than 64"},
		"lists of mappings":   {"", "[{a: ", "", "more than 64"},
		"questions":           {"", "? ", "", "more than 64"},
		"empty lines":         {"name: |\n", "\n", "", "job.yaml:103:1: more than 100 empty lines come in a row"},
		"carriage returns":    {"name: |\n", "\r", "", "more than 100 empty lines"},
		"lines of spaces":     {"name: >\n", "  \r\n", "", "more than 100 empty lines"},
		"documents":           {"", "a\n---\n", "", "a second document begins here"},
		"commas":              {"[", ",", "]", "is not YAML"},
		"keys":                {"", "a: 1\n", "", "job.yaml:1025:2: a mapping has more than 1024 keys here"},
		"inner keys":          {"model:\n  a:\n", "    abc: 1 # c\n", "", "job.yaml:1027:8: a mapping has more than 1024 keys here"},
		"questioned keys":     {"", "? a\n", "", "job.yaml:1025:1: a mapping has more than 1024 keys here"},
		"keys of an item":     {"- a: 1\n", "  b: 1\n", "", "job.yaml:1025:4: a mapping has more than 1024 keys here"},
		"keys of many items":  {"", "- a: 1\n  b: {}\n", "", "must be a mapping"},
		"keys in braces":      {"model: {", "abc: 1, ", "}", "more problems"},
		"reserved":            {"", "@", "", "reserved character"},
		"quotes":              {"", `"a" `, "", "is not YAML"},
		"merge keys":          {"", "<<: *a\n", "", "more than 1024 keys"},
		"block texts":         {"", "a: |-\n b\n", "", "more than 1024 keys"},
		"a long value":        {"name: ", "a", "", "must be 1 to 64 letters"},
		"a long number":       {"seed: ", "9", "", "seed must be"},
		"a long key":          {"", "a", ": 1", "unknown key"},
		"a long comment":      {"#", "#", "", ""},
		"indents":             {"", " ", "a: 1", "unknown key"},
		"tabs":                {"a:\n", "\t", "b: 1", "tab"},
		"nodes":               {"model: {kind: graph, nodes: [", "{kind: add, inputs: [ab, cd]}, " + strings.Repeat(" ", 40), "]}", "there is no node ab"},
		"inputs of a node":    {"model: {kind: graph, nodes: [{kind: add, inputs: [", "ab, ", "]}]}", "there is no node ab"},
		"nodes in a circle":   {"model: {kind: graph, nodes: [{kind: relu, name: a}, ", "{kind: relu}, ", "{kind: relu, inputs: [z]}]}", "model.nodes must list 1 to 1024 nodes"},
		"anchors and aliases": {"a: &a 1\nb: [", "*a, ", "]", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.begin + strings.Repeat(c.repeat, (maxBytes-len(c.begin)-len(c.end))/len(c.repeat)) + c.end
			_, err := parseCost(t, []byte(text))
			if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%.300v; want %q", err, c.want)
			}
		})
	}
}

// A flag's value is bounded like a file.
func TestCostOfFlags(t *testing.T) {
	for key, repeat := range map[string]string{"model.layers": "[", "model.stack": "[{a: ", "model": "{model: ", "data": "- "} {
		var err error
		set := key + "=" + strings.Repeat(repeat, maxBytes/len(repeat))
		cost.Bound(t, maxBytes, perByte, func() { _, err = Parse("job.yaml", nil, []string{set}) })
		if err == nil || !strings.Contains(err.Error(), "more than 64 mappings") {
			t.Errorf("%s: %.300v", key, err)
		}
	}
	flags := []Flag{{Name: "--join", Key: "join", Value: strings.Repeat("[", maxBytes)}, {Name: "--peers", Key: "peers", Value: strings.Repeat("{a:", maxBytes/3)}}
	cost.Bound(t, 2*maxBytes, perByte, func() { _, _ = LoadCoordinator("", flags) })
}

// Whatever is repeated, a text costs a bounded amount.
func FuzzCost(f *testing.F) {
	for _, s := range []string{"[", "{a: ", "- ", "\n", "a: 1\n", "a: |\n\n", "a: >\n  x\n\n", "\"x\n", "'", "# x\n", "&a [*a", "? a\n: ", "---\n", "!t ", "a:\n  - b\n"} {
		f.Add([]byte("name: |\n"), []byte(s), []byte("seed: 1"))
	}
	f.Fuzz(func(t *testing.T, begin, repeat, end []byte) {
		const length = maxBytes / 8
		if len(repeat) == 0 || len(begin)+len(end) > length {
			return
		}
		text := append(begin[:len(begin):len(begin)], bytes.Repeat(repeat, (length-len(begin)-len(end))/len(repeat))...)
		_, _ = parseCost(t, append(text, end...))
	})
}

// A job is sent with its defaults written out, so that text is bounded too.
func TestWrittenOutLength(t *testing.T) {
	text := "model: {kind: sequential, stack: [" + strings.Repeat("{kind: conv, out: 8, kernel: 3}, ", 900) + "]}"
	if _, err := Parse("job.yaml", []byte(text), nil); err == nil || !strings.Contains(err.Error(), "job.yaml:1:8: model: with all defaults written out the job has") {
		t.Errorf("%v", err)
	}
}
