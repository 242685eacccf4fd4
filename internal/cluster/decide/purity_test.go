package decide

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDecideIsPure decides twice from the same arguments at every point of every scenario: whenever a worker has reported or gone, time
// has passed, or the log has taken something. Both say the same, and neither changes the state or what is known of the workers.
func TestDecideIsPure(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	points := 0
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) { points += decideTwice(t, name) })
	}
	t.Logf("%d points", points)
	if points < 500 {
		t.Errorf("only %d points", points)
	}
}

func decideTwice(t *testing.T, name string) (points int) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	sc := newScenario(func(format string, args ...any) {
		t.Helper()
		t.Fatalf("after %q: %s", line, fmt.Sprintf(format, args...))
	})
	sc.again, sc.point = true, func() {
		points++
		sc.compare()
	}
	commands := true
	var sink strings.Builder
	for line = range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "----":
			commands = false
		case line == "":
			commands = true
		case commands && !strings.HasPrefix(line, "#"):
			if err := sc.run(line, &sink); err != nil {
				t.Fatal(err)
			}
		}
	}
	return points
}

// compare decides twice, and looks twice who holds the job up.
func (sc *scenario) compare() {
	encoded := func() string {
		data, err := sc.state.Encode()
		if err != nil {
			sc.fail("%v", err)
		}
		return string(data)
	}
	l, state := sc.leader, encoded()
	before := dump(l)
	sc.same("decided", decide(sc.state, &l.obs, sc.now, l.timing), decide(sc.state, &l.obs, sc.now, l.timing))
	look := func() (found []*stall) {
		for _, p := range l.obs.split(sc.state, sc.now, l.timing) {
			found = append(found, findStall(p.job, p.observations, sc.now, l.timing, p.notes.stalls.shown))
		}
		return found
	}
	sc.same("who stalls", look(), look())
	sc.same("state", state, encoded())
	sc.same("observations", before, dump(l))
}

// dump writes a value with everything that it leads to, also what has no name outside its package.
func dump(v any) string {
	var out strings.Builder
	dumpTo(&out, reflect.ValueOf(v))
	return out.String()
}

func dumpTo(out *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			out.WriteString("nil")
			return
		}
		dumpTo(out, v.Elem())
	case reflect.Struct:
		dumpFields(out, v)
	case reflect.Map:
		var entries []string
		for _, key := range v.MapKeys() {
			var entry strings.Builder
			dumpTo(&entry, key)
			entry.WriteByte(':')
			dumpTo(&entry, v.MapIndex(key))
			entries = append(entries, entry.String())
		}
		slices.Sort(entries)
		fmt.Fprintf(out, "map%v", entries)
	case reflect.Slice, reflect.Array:
		out.WriteByte('[')
		for i := range v.Len() {
			dumpTo(out, v.Index(i))
			out.WriteByte(' ')
		}
		out.WriteByte(']')
	case reflect.Func: // what it is does not change
	default:
		fmt.Fprint(out, v)
	}
}

func dumpFields(out *strings.Builder, v reflect.Value) {
	isTime := v.Type() == reflect.TypeFor[time.Time]()
	isMessage := v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[interface{ ProtoMessage() }]())
	out.WriteByte('{')
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if isTime && f.Name == "loc" || isMessage && !f.IsExported() { // how it is shown; what encoding left behind
			continue
		}
		out.WriteString(f.Name + ":")
		dumpTo(out, v.Field(i))
		out.WriteByte(' ')
	}
	out.WriteByte('}')
}
