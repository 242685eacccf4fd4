package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
)

// fake is a cluster whose one job does what the test says.
type fake struct {
	mu     sync.Mutex
	job    *rpc.JobStatus
	asked  []string
	lines  []string // w1's log
	broken error
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Status(context.Context, string) (*rpc.ClusterStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &rpc.ClusterStatus{Job: f.job, Workers: []*rpc.WorkerStatus{{Id: "w1", Host: "<b>host</b>", Seated: true, SeatEnd: 2, State: "training"}}}, f.broken
}

func (f *fake) Jobs(context.Context) ([]*rpc.JobLine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []*rpc.JobLine{{Id: "a", Name: "a", State: f.job.GetState()}}, f.broken
}

func (f *fake) ask(format string, args ...any) error {
	f.set(func(f *fake) { f.asked = append(f.asked, fmt.Sprintf(format, args...)) })
	return f.broken
}

func (f *fake) Change(_ context.Context, job string, change rpc.Change, priority int) error {
	return f.ask("%s %v %d", job, change, priority)
}
func (f *fake) Stop(_ context.Context, job string) error { return f.ask("stop %s", job) }
func (f *fake) Scale(_ context.Context, job string, workers int) error {
	return f.ask("scale %s %d", job, workers)
}
func (f *fake) Logs(_ context.Context, r *rpc.LogsRequest) (*rpc.LogsReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Process != "w1" {
		return nil, fmt.Errorf("no process %s", r.Process)
	}
	after := r.After
	if r.Life != 7 {
		after = 0
	}
	return &rpc.LogsReply{Life: 7, Last: uint64(len(f.lines)), Lines: f.lines[after:]}, nil
}
func (f *fake) ReadFile(context.Context, string, string, int) ([]byte, error) {
	return nil, errors.New("no checkpoint here")
}
func (f *fake) Close() error { return nil }

func running(step uint64) *rpc.JobStatus {
	return &rpc.JobStatus{Job: "a", Name: "a", State: "running", Step: step, Seats: 2, TrainLoss: 1 / float64(step), HasTrainLoss: true, SamplesPerS: 100}
}

// served is a page over a fake cluster, in a server whose address is the page's.
func served(t *testing.T, f *fake, readOnly bool) (*Server, *httptest.Server) {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	s := New(Config{Dial: func() Cluster { return f }, Host: web.Listener.Addr().String(), Token: "once", Session: "known", ReadOnly: readOnly, Log: slog.New(slog.DiscardHandler)})
	web.Config.Handler = s.Handler()
	web.Start()
	t.Cleanup(web.Close)
	return s, web
}

func request(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestOnlyWhoHasTheCookieComesIn(t *testing.T) {
	_, web := served(t, &fake{job: running(1)}, false)
	cookie := []string{"Cookie", "ringmaster=known"}
	for _, c := range []struct {
		what, method, path string
		headers            []string
		code               int
	}{
		{"nobody", "GET", "/", nil, 401},
		{"a wrong token", "GET", "/?token=twice", nil, 401},
		{"no token", "GET", "/?token=", nil, 401},
		{"another's cookie", "GET", "/", []string{"Cookie", "ringmaster=other"}, 401},
		{"the cookie", "GET", "/", cookie, 200},
		{"the cookie, a script", "GET", "/app.js", cookie, 200},
		{"another name", "GET", "/", append([]string{"Host", "evil.example"}, cookie...), 421},
		{"another site's frame", "GET", "/events", append([]string{"Sec-Fetch-Site", "cross-site"}, cookie...), 403},
		{"another site's action", "POST", "/do", append([]string{"Sec-Fetch-Site", "cross-site"}, cookie...), 403},
		{"another origin's action", "POST", "/do", append([]string{"Origin", "http://evil.example"}, cookie...), 403},
		{"the token", "GET", "/?token=once", nil, 200},
		{"the token again", "GET", "/?token=once", nil, 401},
	} {
		if code, text := request(t, c.method, web.URL+c.path, "", c.headers...); code != c.code {
			t.Errorf("%s: %d, want %d: %s", c.what, code, c.code, text)
		}
	}
}

func TestActionsAreChecked(t *testing.T) {
	f := &fake{job: running(1)}
	_, web := served(t, f, false)
	_, looking := served(t, f, true)
	do := func(at, body string, kind string) (int, string) {
		return request(t, "POST", at+"/do", body, "Cookie", "ringmaster=known", "Content-Type", kind)
	}
	for _, c := range []struct {
		body, kind string
		code       int
	}{
		{`{"job":"a","do":"pause"}`, "application/json", 200},
		{`{"job":"a","do":"priority","number":7}`, "application/json; charset=utf-8", 200},
		{`{"job":"a","do":"scale","number":3}`, "application/json", 200},
		{`{"job":"a","do":"stop"}`, "application/json", 200},
		{`{"job":"a","do":"pause"}`, "text/plain", 415},
		{`{"job":"a","do":"explode"}`, "application/json", 409},
		{`{"job":"","do":"pause"}`, "application/json", 400},
		{`{"job":"a","do":"pause","and":1}`, "application/json", 400},
		{`{"job":"` + strings.Repeat("a", 5000) + `","do":"pause"}`, "application/json", 400},
		{`{`, "application/json", 400},
	} {
		if code, text := do(web.URL, c.body, c.kind); code != c.code {
			t.Errorf("%.60s: %d, want %d: %s", c.body, code, c.code, text)
		}
	}
	if code, _ := do(looking.URL, `{"job":"a","do":"cancel"}`, "application/json"); code != http.StatusForbidden {
		t.Errorf("a page that may only look cancels: %d", code)
	}
	want := "a CHANGE_PAUSE 0, a CHANGE_PRIORITY 7, scale a 3, stop a"
	if got := strings.Join(f.asked, ", "); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	f.set(func(f *fake) { f.broken = errors.New("the job has ended") })
	if code, text := do(web.URL, `{"job":"a","do":"pause"}`, "application/json"); code != http.StatusConflict || !strings.Contains(text, "has ended") {
		t.Errorf("%d: %s", code, text)
	}
}

// event is one event of a stream.
type event struct{ id, name, data string }

// stream reads n events.
func stream(t *testing.T, at, last string, n int) []event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", at+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", "ringmaster=known")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all []event
	var e event
	for lines := bufio.NewScanner(answer.Body); len(all) < n && lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			all, e = append(all, e), event{}
		}
	}
	return all
}

// rows are the steps of the points that an event carries.
func (e event) steps(t *testing.T) (steps []uint64) {
	t.Helper()
	var c struct{ Points [][]*float64 }
	if err := json.Unmarshal([]byte(e.data), &c); err != nil {
		t.Fatalf("%s: %v", e.data, err)
	}
	for _, p := range c.Points {
		steps = append(steps, uint64(*p[0]))
	}
	return steps
}

// A browser gets the curve once and then only what is added; one that comes back after a cut gets what it lacks, and all where the curve has changed.
func TestStreamGoesOnAfterACut(t *testing.T) {
	f := &fake{job: running(1)}
	s, web := served(t, f, false)
	look := func(step uint64) {
		f.set(func(f *fake) { f.job = running(step) })
		s.watch.look(t.Context(), f)
	}
	look(1)
	look(5)
	first := stream(t, web.URL, "", 2)
	if first[0].name != "state" || first[1].name != "curve" || fmt.Sprint(first[1].steps(t)) != "[1 5]" {
		t.Fatalf("%+v", first)
	}
	if !strings.Contains(first[0].data, `"step":5`) || !json.Valid([]byte(first[0].data)) {
		t.Errorf("state %s", first[0].data)
	}
	look(9)
	look(9) // no step since
	if again := stream(t, web.URL, first[1].id, 2); again[1].name != "points" || fmt.Sprint(again[1].steps(t)) != "[9]" {
		t.Errorf("%+v", again)
	}
	look(7) // steps are done again
	if again := stream(t, web.URL, first[1].id, 2); again[1].name != "curve" || fmt.Sprint(again[1].steps(t)) != "[1 5 7]" {
		t.Errorf("%+v", again)
	}
	f.set(func(f *fake) { f.broken = errors.New("nobody answers") })
	s.watch.look(t.Context(), f)
	if e := stream(t, web.URL, "", 1); !strings.Contains(e[0].data, "nobody answers") || !strings.Contains(e[0].data, `"step":7`) {
		t.Errorf("the last state is gone: %s", e[0].data)
	}
}

func TestCurveJoinsHistoryAndReports(t *testing.T) {
	var c curve
	c.follow(running(1))
	for step := uint64(10); step <= 60; step += 10 {
		c.note(running(step))
	}
	c.rebase("folder", 40, []checkpoint.Point{{Step: 20, Loss: 3}, {Step: 40, Loss: 2}})
	var got []string
	for _, p := range append(append([]Point{}, c.base...), c.live...) {
		got = append(got, fmt.Sprintf("%d:%.3g:%v", p.Step, p.Loss, p.Pace))
	}
	if want := "20:3:100 40:2:100 50:0.02:100 60:0.0167:100"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	for step := uint64(61); step < 61+3*maxLive; step++ {
		c.note(running(step))
	}
	if len(c.live) > maxLive || c.live[len(c.live)-1].Step != 60+3*maxLive {
		t.Errorf("%d points, the last of step %d", len(c.live), c.live[len(c.live)-1].Step)
	}
	if text := string(c.points(true, 0)); !json.Valid([]byte(text)) {
		t.Errorf("not JSON: %.200s", text)
	}
	if text := string(Point{Step: 1, Loss: math.Inf(1), Pace: math.NaN()}.appendJSON(nil)); text != "[1,null,0,0,0,null]" {
		t.Error(text)
	}
}

// The watcher ends with its context, and asks again and again until then.
func TestWatcherAsksUntilItsEnd(t *testing.T) {
	f := &fake{job: running(1)}
	s := New(Config{Dial: func() Cluster { return f }, Every: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	s.watch.mu.Lock()
	changed := s.watch.changed
	s.watch.mu.Unlock()
	<-changed
	cancel()
	<-ended
}

// What comes from a browser breaks nothing.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/?token=x", "", "1.2")
	f.Add("POST", "/do", `{"job":"a","do":"scale","number":-1}`, "9.99999999999999999999")
	f.Add("GET", "/curve?job=%00", "", "")
	f.Add("GET", "/events", "", "1.-5")
	cluster := &fake{job: running(1)}
	s := New(Config{Dial: func() Cluster { return cluster }, Host: "page", Session: "known", Log: slog.New(slog.DiscardHandler)})
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, method, target, body, last string) {
		r, err := http.NewRequest(method, "http://page"+target, strings.NewReader(body))
		if err != nil || r.Host != "page" {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // streams end at once
		r.AddCookie(&http.Cookie{Name: cookieName, Value: "known"})
		r.Header.Set("Last-Event-ID", last)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r.WithContext(ctx))
		if w.Code >= 500 {
			t.Errorf("%s %q: %d", method, target, w.Code)
		}
	})
}
