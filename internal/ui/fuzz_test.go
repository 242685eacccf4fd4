package ui

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/rpc"
)

// What comes from a browser breaks nothing, and no request without the cookie or the token is let in.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/?token=x", "", "1.2", "page", "", "")
	f.Add("GET", "/?token=once", "", "", "page", "", "")
	f.Add("POST", "/do", `{"job":"a","do":"scale","number":-1}`, "9.99999999999999999999", "page", "http://page", "ringmaster=known")
	f.Add("POST", "/do", `{"job":"a","do":"priority","number":4294967301}`, "", "page", "http://evil.example", "ringmaster=known")
	f.Add("GET", "/curve?job=%00", "", "", "page", "", "ringmaster=known")
	f.Add("GET", "/curve?job=a&from=0&to=18446744073709551615", "", "", "page", "", "ringmaster=known")
	f.Add("GET", "/curve?job=a&from=7&to=-1", "", "", "page", "", "ringmaster=known; ringmaster=other")
	f.Add("GET", "/events", "", "1.-5", "page", "", "ringmaster=known")
	f.Add("GET", "/events?job=a", "", "18446744073709551615.2147483647", "page", "null", "ringmaster=known")
	f.Add("GET", "/log?process=w1", "", "7.18446744073709551615", "page", "", "ringmaster=known")
	f.Add("GET", "/", "", "", "evil.example", "", "ringmaster=known")
	f.Fuzz(func(t *testing.T, method, target, body, last, host, origin, cookie string) {
		r, err := http.NewRequest(method, "http://page"+target, strings.NewReader(body))
		if err != nil {
			return
		}
		cluster := &fake{job: running(1), lines: []string{"line"}}
		s := New(Config{Dial: func() Cluster { return cluster }, Host: "page", Token: "once", Session: "known", Log: slog.New(slog.DiscardHandler)})
		s.watch.look(t.Context(), cluster)
		cluster.asked = nil
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond) // a log that has nothing new is waited for
		defer cancel()
		go func() {
			select {
			case <-s.chosen.begin: // a job was chosen
			case <-ctx.Done():
			}
		}()
		r.Host = host
		for name, value := range map[string]string{"Last-Event-ID": last, "Origin": origin, "Cookie": cookie, "Content-Type": "application/json"} {
			r.Header.Set(name, value)
		}
		w := &ending{httptest.NewRecorder(), cancel}
		s.Handler().ServeHTTP(w, r.WithContext(ctx))
		known := strings.Contains(cookie, "ringmaster=known") || strings.Contains(cookie, `ringmaster="known"`)
		switch {
		case w.Code >= 500:
			t.Errorf("%s %q: %d %s", method, target, w.Code, w.Body)
		case w.Code < 400 && (host != "page" || !known && !strings.Contains(target, "token=")):
			t.Errorf("let in: %s %q as %q with cookie %q: %d", method, target, host, cookie, w.Code)
		case len(cluster.asked) > 0 && (method != "POST" || !known || host != "page" || origin != "" && origin != "http://page"):
			t.Errorf("asked %q: %s %q of %q from %q", cluster.asked, method, target, host, origin)
		}
	})
}

// ending is a browser that goes when it has got its first events.
type ending struct {
	*httptest.ResponseRecorder
	gone context.CancelFunc
}

// FlushError implements what http.ResponseController looks for.
func (e *ending) FlushError() error { e.gone(); return nil }

// SetWriteDeadline takes any time.
func (e *ending) SetWriteDeadline(time.Time) error { return nil }

// What a browser says of its last event is a mark, or none.
func FuzzLastEvent(f *testing.F) {
	for _, id := range []string{"", "1.2", "1.-2", "1.99999999999", "a.b", "1", ".", "1.2.3", " 1.2", "+1.2", "0x1.2"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if m := lastMark(id); m.live < 0 || m != (mark{}) && strings.Trim(id, "0123456789.") != "" {
			t.Errorf("%q: %+v", id, m)
		}
		if life, line := lastLine(id); (life != 0 || line != 0) && strings.Trim(id, "0123456789.") != "" {
			t.Errorf("%q: %d %d", id, life, line)
		}
	})
}

// Whatever steps are asked for of a curve whose steps were done again now and then, its part is in order, within them and bounded.
func FuzzSection(f *testing.F) {
	f.Add([]byte{1, 2, 200, 3, 0, 9}, uint64(0), uint64(1<<63))
	f.Add([]byte{255, 255, 1, 0, 7}, uint64(3), uint64(3))
	f.Fuzz(func(t *testing.T, strides []byte, from, to uint64) {
		c := newCurve()
		step := uint64(1)
		for _, b := range strides {
			if step += uint64(b); b < 8 {
				step = step / 2
			}
			c.note(&rpc.JobStatus{Job: "a", Step: step, HasTrainLoss: true, TrainLoss: float64(b)})
		}
		for i, p := range c.within(from, to) {
			if p.Step < from || p.Step > to || i > 2*maxShown {
				t.Fatalf("point %d of step %d, asked for %d to %d", i, p.Step, from, to)
			}
		}
		for _, all := range [][]report{c.reports, c.live, thin(c.reports, 5)} {
			for i := 1; i < len(all); i++ {
				if all[i].step <= all[i-1].step {
					t.Fatalf("step %d after %d", all[i].step, all[i-1].step)
				}
			}
		}
	})
}
