package fsm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What the release before wrote into the log makes the state that it made there, so that replicas of both agree while a cluster is upgraded, and its
// snapshots can be read. Fields that came later may be there besides. A change on purpose means that the cluster can't be rolled over: the
// record is made again by that program, and CHANGELOG.md says so.
func TestLogOfTheReleaseBeforeMakesTheSameState(t *testing.T) {
	var before struct {
		Commands []json.RawMessage `json:"commands"`
		State    json.RawMessage   `json:"state"`
	}
	text, err := os.ReadFile(filepath.Join("testdata", "log-before.json"))
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil || len(before.Commands) < 10 {
		t.Fatalf("%d commands, %v", len(before.Commands), err)
	}
	s := &State{}
	for _, raw := range before.Commands {
		c, err := DecodeCommand(raw)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, s, c)
	}
	read, err := Decode(before.State)
	if err != nil {
		t.Fatal(err)
	}
	for where, state := range map[string]*State{"the log": s, "the snapshot": read} {
		now, err := state.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var then, made any
		if err := json.Unmarshal(before.State, &then); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(now, &made); err != nil {
			t.Fatal(err)
		}
		if difference := lacks(then, made, "state"); difference != "" {
			t.Errorf("from %s: %s", where, difference)
		}
	}
}

// derived are fields that a release may leave out, since it follows them from others, with what that means while versions are mixed.
var derived = map[string]string{
	"floor": "a job's generations begin after those of the jobs before it, which the cluster's newest generation tells as well",
}

// lacks names what an earlier value holds and a later one does not; empty if nothing.
func lacks(then, now any, at string) string {
	switch then := then.(type) {
	case map[string]any:
		now, _ := now.(map[string]any)
		for key, value := range then {
			if _, there := now[key]; !there && derived[key] != "" {
				continue
			}
			if difference := lacks(value, now[key], at+"."+key); difference != "" {
				return difference
			}
		}
		return ""
	case []any:
		now, _ := now.([]any)
		if len(now) != len(then) {
			return fmt.Sprintf("%s has %d entries, it had %d", at, len(now), len(then))
		}
		for i, value := range then {
			if difference := lacks(value, now[i], fmt.Sprintf("%s[%d]", at, i)); difference != "" {
				return difference
			}
		}
		return ""
	}
	if then != now {
		return fmt.Sprintf("%s is %v, it was %v", at, now, then)
	}
	return ""
}
