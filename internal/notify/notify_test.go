package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ringmaster/internal/records"
	"ringmaster/internal/test/support"
)

func TestMain(m *testing.M) { support.Main(m) }

// warnings collects what a notifier says.
type warnings struct {
	mu   sync.Mutex
	said []string
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, err.Error())
}

func target(t *testing.T, text string) Target {
	t.Helper()
	to, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestCommandsGetTheEvent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	var w warnings
	n := New([]Target{target(t, `{ echo "$RINGMASTER_EVENT $RINGMASTER_JOB $RINGMASTER_STEP $RINGMASTER_TEXT"; cat; } >> `+out)}, w.add)
	n.Tell(records.Event{Event: records.WorkerLost, Job: "digits", Step: 7, Text: "w2 died"})
	n.Tell(records.Event{Event: records.Finished, Job: "digits", Step: 9})
	n.Close()
	text, err := os.ReadFile(out)
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) != 5 || lines[0] != "worker_lost digits 7 w2 died" || lines[2] != "finished digits 9 digits: finished at step 9" {
		t.Fatalf("%q, %v", text, err)
	}
	var e records.Event
	if err := json.Unmarshal([]byte(lines[1]), &e); err != nil || e.Text != "w2 died" || e.Step != 7 {
		t.Errorf("%s: %v", lines[1], err)
	}
	if len(w.said) > 0 {
		t.Errorf("it says %q", w.said)
	}
}

// A command that fails is named once, with its last word, until it has worked meanwhile; one that does not read its input is fine.
func TestFailingCommandsAreNamedOnce(t *testing.T) {
	var w warnings
	n := New([]Target{target(t, `test $RINGMASTER_STEP -gt 2 || { echo first; echo no disk >&2; exit 3; }`)}, w.add)
	for step := range uint64(4) {
		n.Tell(records.Event{Event: records.Stored, Step: step})
	}
	n.Tell(records.Event{Event: records.Stored, Step: 1})
	n.Close()
	if len(w.said) != 2 || !strings.Contains(w.said[0], "(checkpoint): exit status 3: no disk") {
		t.Errorf("it says %q", w.said)
	}
}

// Hooks get the event as JSON, again after an answer that may pass; their failure is told without the URL's secret.
func TestHooks(t *testing.T) {
	pauses = [attempts - 1]time.Duration{}
	var got []string
	answers := []int{503, 200, 404, 500, 500, 500, 204}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.Header.Get("Content-Type")+" "+string(body))
		out.WriteHeader(answers[0])
		answers = answers[1:]
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var w warnings
	n := New([]Target{target(t, server.URL+"/secret")}, w.add)
	for _, kind := range []string{records.Started, records.Stalled, records.Stored, records.Finished} {
		n.Tell(records.Event{Event: kind, Job: "digits"})
	}
	n.Close()
	if len(got) != 7 || !strings.HasPrefix(got[0], `POST application/json {"time":`) || got[0] != got[1] {
		t.Errorf("%d requests: %q", len(got), got)
	}
	if len(w.said) != 1 || !strings.Contains(w.said[0], "it answers 404") || strings.Contains(w.said[0], "secret") {
		t.Errorf("it says %q", w.said)
	}
	unreachable := New([]Target{target(t, "http://127.0.0.1:1/secret")}, w.add)
	unreachable.Tell(records.Event{Event: records.Started})
	unreachable.Close()
	if last := w.said[len(w.said)-1]; len(w.said) != 2 || !strings.Contains(last, "refused") || strings.Contains(last, "secret") {
		t.Errorf("it says %q", w.said)
	}
}

// Whoever tells never waits: events beyond the queue are dropped, which is said once.
func TestTellingNeverWaits(t *testing.T) {
	dir := t.TempDir()
	var w warnings
	release := filepath.Join(dir, "release")
	n := New([]Target{target(t, "until [ -e "+release+" ]; do sleep 0.01; done; echo x >> "+filepath.Join(dir, "told"))}, w.add)
	for range 10 * queueLength {
		n.Tell(records.Event{Event: records.Stored})
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.Close()
	told, err := os.ReadFile(filepath.Join(dir, "told"))
	if count := strings.Count(string(told), "x"); err != nil || count < queueLength || count > queueLength+1 {
		t.Errorf("%d are told, %v", count, err)
	}
	if len(w.said) != 1 || !strings.Contains(w.said[0], "some events are not told") {
		t.Errorf("it says %q", w.said)
	}
	var none *Notifier
	none.Tell(records.Event{})
	none.Close()
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"":                "it is empty; give a command, or the URL of a web hook",
		"ftp://host/a":    "ftp://host/a: hooks are told over http or https, not ftp",
		"https:///path":   "https:///path names no host; write https://HOST/PATH",
		"http://a b/":     "http://a b/ is no URL; write https://HOST/PATH",
		"https://host/x":  "",
		"curl http://a/b": "",
		"notify-send 'a'": "",
	} {
		if _, err := Parse(text); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
