package ui

import (
	"bufio"
	"bytes"
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
	others []*rpc.JobStatus
	crowd  []*rpc.WorkerStatus // nil: one worker
	past   []byte              // the file of the history in every checkpoint; nil: there is none
	going  func()              // called before each answer; may be nil
	broken error
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Status(_ context.Context, job string) (*rpc.ClusterStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.going != nil {
		f.going()
	}
	shown := f.job
	for _, j := range append(f.others, f.job) {
		if j.GetJob() == job {
			shown = j
		}
	}
	if job != "" && shown.GetJob() != job {
		return nil, fmt.Errorf("no job %q here", job)
	}
	workers := f.crowd
	if workers == nil {
		workers = []*rpc.WorkerStatus{{Id: "w1", Host: "<b>host</b>", Seated: true, SeatEnd: 2, State: "training"}}
	}
	return &rpc.ClusterStatus{Job: shown, Workers: workers, Coordinators: []*rpc.CoordinatorInfo{{Id: "c1", Leader: true}}}, f.broken
}

func (f *fake) Jobs(context.Context) ([]*rpc.JobLine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*rpc.JobLine
	for _, j := range append(f.others, f.job) {
		if j != nil {
			all = append(all, &rpc.JobLine{Id: j.Job, Name: j.Name, State: j.State, Step: j.Step, Steps: j.StepsTotal, Checkpoints: j.Checkpoints})
		}
	}
	return all, f.broken
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
	after := min(r.After, uint64(len(f.lines)))
	if r.Life != 7 {
		after = 0
	}
	return &rpc.LogsReply{Life: 7, Last: uint64(len(f.lines)), Lines: f.lines[after:]}, nil
}
func (f *fake) ReadFile(context.Context, string, string, int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.past == nil {
		return nil, errors.New("no checkpoint here")
	}
	return f.past, nil
}
func (f *fake) Close() error { return nil }

func running(step uint64) *rpc.JobStatus {
	return &rpc.JobStatus{Job: "a", Name: "a", State: "running", Step: step, Seats: 2, TrainLoss: 1 / float64(step), HasTrainLoss: true, SamplesPerS: 100}
}

// served is a page over a fake cluster, in a server whose address is the page's.
func served(t testing.TB, f *fake, readOnly bool) (*Server, *httptest.Server) {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	s := New(Config{Dial: func() Cluster { return f }, Host: web.Listener.Addr().String(), Token: "once", Session: "known", ReadOnly: readOnly, Log: slog.New(slog.DiscardHandler)})
	web.Config.Handler = s.Handler()
	web.Start()
	t.Cleanup(web.Close)
	return s, web
}

// run has a page ask its cluster until the test ends.
func run(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func request(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], strings.Replace(headers[i+1], "ringmaster=", cookieName(r.URL.Host)+"=", 1))
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
		{`{"job":"a","do":"priority","number":4294967301}`, "application/json", 400}, // not 5
		{`{"job":"a","do":"priority","number":1e99}`, "application/json", 400},
		{`{"job":"a","do":"scale","number":0}`, "application/json", 400},
		{`{"job":"a","do":"scale","number":-1}`, "application/json", 400}, // not the largest number
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
	return streamOf(t, at+"/events", last, n)
}

func streamOf(t *testing.T, address, last string, n int) []event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookieName(r.URL.Host)+"=known")
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
		case "retry":
			lines.Scan() // the blank line behind it
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
	first := stream(t, web.URL, "", len(parts)+1)
	if head, curve := first[0], first[len(parts)]; head.name != "head" || !strings.Contains(head.data, `"step":5`) || curve.name != "curve" || fmt.Sprint(curve.steps(t)) != "[1 5]" {
		t.Fatalf("%+v", first)
	}
	for i, e := range first[:len(parts)] {
		if e.name != parts[i].name || e.id != "" || !json.Valid([]byte(e.data)) {
			t.Errorf("part %d: %+v", i, e)
		}
	}
	again := func(want string, steps string) {
		t.Helper()
		if e := stream(t, web.URL, first[len(parts)].id, len(parts)+1)[len(parts)]; e.name != want || fmt.Sprint(e.steps(t)) != steps {
			t.Errorf("%+v, want %s of %s", e, want, steps)
		}
	}
	look(9)
	look(9) // no step since
	again("points", "[9]")
	again("points", "[9]") // and whoever comes at the same time gets the same
	look(7)                // steps are done again
	again("curve", "[1 5 7]")
	f.set(func(f *fake) { f.broken = errors.New("nobody answers") })
	s.watch.look(t.Context(), f)
	if e := stream(t, web.URL, "", 1); !strings.Contains(e[0].data, "nobody answers") || !strings.Contains(e[0].data, `"step":7`) {
		t.Errorf("the last state is gone: %s", e[0].data)
	}
}

// A part is sent when it has changed, and a large one less often.
func TestPartsAreSentWhenTheyChange(t *testing.T) {
	f := &fake{job: running(1)}
	s, _ := served(t, f, false)
	look := func(step uint64) {
		f.set(func(f *fake) { f.job = running(step) })
		s.watch.look(t.Context(), f)
	}
	r, now := &reader{}, time.Now()
	news := func(after time.Duration) string {
		now = now.Add(after)
		events, _ := s.watch.news(r, now)
		var names []string
		for _, e := range events {
			name, _, _ := strings.Cut(string(e[bytes.Index(e, []byte("event: "))+7:]), "\n")
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	for i, c := range []struct {
		step  uint64
		after time.Duration
		want  string
	}{
		{1, 0, "head workers jobs epochs views checkpoints curve"},
		{1, time.Second, ""},
		{2, time.Second, "head jobs points"},
	} {
		look(c.step)
		if got := news(c.after); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	f.set(func(f *fake) { f.crowd = crowd(1000, 1) })
	look(3)
	if got := news(time.Second); got != "head workers jobs points" {
		t.Error(got)
	}
	f.set(func(f *fake) { f.crowd = crowd(1000, 2) })
	look(4)
	if got := news(time.Second / 4); got != "head jobs points" {
		t.Errorf("at once: %s", got)
	}
	if got := news(2 * time.Second); got != "workers" {
		t.Errorf("later: %s", got)
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
	for _, p := range c.all() {
		got = append(got, fmt.Sprintf("%d:%.3g:%v", p.Step, p.Loss, p.Pace))
	}
	if want := "20:3:100 40:2:100 50:0.02:100 60:0.0167:100"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	for step := uint64(61); step < 61+3*maxLive; step++ {
		c.note(running(step))
	}
	if len(c.live) > maxLive || c.live[len(c.live)-1].step != 60+3*maxLive {
		t.Errorf("%d points, the last of step %d", len(c.live), c.live[len(c.live)-1].step)
	}
	if text := appendPoints(nil, "a", c.all()); !json.Valid(text) {
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
