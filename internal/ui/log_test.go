package ui

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/test/support"
)

// readLog opens the stream of a log and returns its data lines as they come.
func readLog(t *testing.T, url string, headers ...string) (next func() string) {
	t.Helper()
	r, err := http.NewRequestWithContext(support.Within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookieName(r.URL.Host)+"=known")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	return func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		return "ended"
	}
}

func TestLogIsReadAsItIsWritten(t *testing.T) {
	f := &fake{job: running(1), lines: []string{"a", "<b>"}}
	s, web := served(t, f, true)
	s.cfg.Every = time.Millisecond
	next := readLog(t, web.URL+"/log?process=w1")
	if got := next(); got != `["a","\u003cb\u003e"]` {
		t.Errorf("first: %s", got)
	}
	f.set(func(f *fake) { f.lines = append(f.lines, "c") })
	if got := next(); got != `["c"]` {
		t.Errorf("then: %s", got)
	}
	if got := readLog(t, web.URL+"/log?process=w1", "Last-Event-ID", "7.2")(); got != `["c"]` {
		t.Errorf("who comes back gets %s", got)
	}
	if got := readLog(t, web.URL+"/log?process=w9")(); got != `"no process w9"` {
		t.Errorf("of nobody: %s", got)
	}
	if code, _ := request(t, "GET", web.URL+"/log?process="+strings.Repeat("x", maxName+1), "", "Cookie", "ringmaster=known"); code != 400 {
		t.Errorf("a long name: %d", code)
	}
	for range maxReaders - 3 {
		readLog(t, web.URL+"/log?process=w1")()
	}
	if code, _ := request(t, "GET", web.URL+"/log?process=w1", "", "Cookie", "ringmaster=known"); code != 503 {
		t.Errorf("one reader too many: %d", code)
	}
}
