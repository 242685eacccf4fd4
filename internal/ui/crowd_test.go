package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
)

// crowd are n workers of one seat each, one of which the others wait for.
func crowd(n int, step uint64) []*rpc.WorkerStatus {
	out := make([]*rpc.WorkerStatus, n)
	for i := range out {
		w := &rpc.WorkerStatus{Id: fmt.Sprintf("w%d", i+1), Host: fmt.Sprintf("host-%d", i/8+1), Address: fmt.Sprintf("10.0.%d.%d:7000", i/250, i%250), Seated: true,
			SeatBegin: uint32(i), SeatEnd: uint32(i + 1), State: "training", Step: step, SeatMs: 20 + 5*math.Sin(float64(i)),
			Activity: &rpc.Activity{Doing: rpc.Doing_DOING_COMPUTING, ComputingUs: 20_000 * step, WaitingUs: step * uint64(3000+i), ReadingUs: 1000 * step, SavingUs: 500 * step}}
		if i%3 == 1 {
			w.Activity.Doing = rpc.Doing_DOING_WAITING
			w.WaitingFor = &rpc.Waiting{Worker: fmt.Sprintf("w%d", i), Host: "host-1", Step: step, Doing: "receiving", SinceMs: 40 + step%9}
		}
		out[i] = w
	}
	return out
}

// past is the file of a history of n steps.
func past(t testing.TB, n uint64) []byte {
	t.Helper()
	layout := (&checkpoint.Layout{}).WithHistory(false)
	state := layout.NewState()
	for step := uint64(1); step <= n; step++ {
		x := float64(step)
		state.History.Note(step, 2/math.Pow(x, 0.2)+0.05*math.Sin(x), 1-1/math.Sqrt(x), 0.1/math.Sqrt(x), func() float64 { return 1 + math.Cos(x/1e5) })
	}
	var out bytes.Buffer
	if _, err := layout.EncodeShare(&out, 0, state); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// saved adds a checkpoint to a job.
func saved(j *rpc.JobStatus, step uint64) *rpc.JobStatus {
	j.Checkpoints = append(j.Checkpoints, &rpc.CheckpointRecord{Step: step, Generation: 1, Bytes: 1 << 20, Directory: checkpoint.Name{Step: step, Generation: 1}.Folder()})
	return j
}

// million notes a million reports of a curve.
func million(c *curve) {
	j := running(1)
	for step := uint64(1); step <= 1_000_000; step++ {
		j.Step, j.TrainLoss = step, 2/math.Pow(float64(step), 0.2)
		if step == 123_456 {
			j.TrainLoss = 9
		}
		c.note(j)
	}
}

// A million points stay few on the page, and a spike among them stays visible; who zooms in sees all of them.
func TestMillionPointsStayFew(t *testing.T) {
	c := newCurve()
	c.follow(running(1))
	million(&c)
	highest := func(points []Point) (loss float64) {
		for _, p := range points {
			if p.Loss > loss { // not max, which a NaN wins
				loss = p.Loss
			}
		}
		return loss
	}
	if all := c.all(); len(all) > maxLive || highest(all) != 9 || all[len(all)-1].Step != 1_000_000 {
		t.Errorf("%d points, at most %v, the last of step %d", len(all), highest(all), all[len(all)-1].Step)
	}
	c.rebase("folder", 1_000_000, []checkpoint.Point{{Step: 123_400, Loss: 1, Accuracy: 0.5}, {Step: 1_000_000, Loss: 1, Accuracy: 0.6}})
	near := c.within(123_000, 123_999)
	if len(near) != 1001 || highest(near) != 9 || near[0].Step != 123_000 || near[len(near)-1].Step != 123_999 {
		t.Errorf("%d points, at most %v", len(near), highest(near))
	}
	known := 0
	for _, p := range near {
		if !math.IsNaN(p.Accuracy) {
			known++
		}
	}
	if known != 1 {
		t.Errorf("%d points have what the history says, want 1", known)
	}
	if wide := c.within(0, math.MaxUint64); len(wide) > maxShown+2 || highest(wide) != 9 {
		t.Errorf("%d points, at most %v", len(wide), highest(wide))
	}
	if len(c.reports) > maxReports {
		t.Errorf("%d reports", len(c.reports))
	}
}

// What a look at 1,000 workers costs, and an update of a browser; the bytes are those that one browser is sent a second.
func BenchmarkThousandWorkers(b *testing.B) {
	f := &fake{job: saved(running(1_000_000), 1_000_000), past: past(b, 1_000_000)}
	s := New(Config{Dial: func() Cluster { return f }})
	million(&s.watch.curve)
	r, sent, now := &reader{}, 0, time.Now()
	b.ReportAllocs()
	for i := range b.N {
		f.job.Step, f.crowd = 1_000_000+uint64(i), crowd(1000, uint64(i))
		s.watch.look(b.Context(), f)
		now = now.Add(s.cfg.Every)
		events, _ := s.watch.news(r, now)
		for _, e := range events {
			sent += len(e)
		}
	}
	b.ReportMetric(float64(sent)/float64(b.N)*float64(time.Second/s.cfg.Every), "B/s-sent")
}

// What it costs to tell 50 browsers what is new, as 3 workers train: an update for all of them is one operation, of which there are four a second.
func BenchmarkFiftyBrowsers(b *testing.B) {
	f := &fake{job: saved(running(1_000_000), 1_000_000), past: past(b, 1_000_000)}
	s, web := served(b, f, true)
	var got [50]atomic.Uint64 // the step of each one's newest point
	for i := range got {
		r, err := http.NewRequest(http.MethodGet, web.URL+"/events", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: cookieName(r.URL.Host), Value: "known"})
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { answer.Body.Close() })
		go func() {
			for lines := bufio.NewReader(answer.Body); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if at := strings.LastIndex(line, "[1000"); strings.HasPrefix(line, "data: ") && at > 0 {
					step, _, _ := strings.Cut(line[at+1:], ",")
					n, _ := strconv.ParseUint(step, 10, 64) // 0 where it is none
					got[i].Store(n)
				}
			}
		}()
	}
	b.ReportAllocs()
	for i := range b.N {
		f.set(func(f *fake) { f.job.Step, f.crowd = 1_000_001+uint64(i), crowd(3, uint64(i)) })
		s.watch.look(b.Context(), f)
		for k := range got {
			for got[k].Load() < f.job.Step {
				runtime.Gosched()
			}
		}
	}
}

// Browsers may choose jobs; too many at once are refused, and one that nobody looks at any more gives way.
func TestJobsAreChosen(t *testing.T) {
	f := &fake{job: running(5)}
	for i := range maxChosen + 1 {
		f.others = append(f.others, &rpc.JobStatus{Job: fmt.Sprintf("job-%d", i), Name: "other", State: "running", Step: 7, HasTrainLoss: true})
	}
	s, web := served(t, f, false)
	s.cfg.Every = time.Millisecond
	run(t, s)
	for i := range maxChosen {
		if w, err := s.enter(t.Context(), fmt.Sprintf("job-%d", i)); err != nil {
			t.Fatal(err)
		} else if i == 0 {
			defer w.leave()
		}
	}
	if code, text := request(t, "GET", web.URL+"/events?job=job-8", "", "Cookie", "ringmaster=known"); code != http.StatusServiceUnavailable || text != errTooManyJobs.Error()+"\n" {
		t.Errorf("one job too many: %d %s", code, text)
	}
	s.chosen.byJob["job-3"].leave()
	var head struct{ Job string }
	for head.Job == "" { // the first event may be from before the first answer
		for _, e := range streamOf(t, web.URL+"/events?job=job-8", "", len(parts)) {
			if e.name == "head" {
				if err := json.Unmarshal([]byte(e.data), &head); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if head.Job != "job-8" || s.chosen.byJob["job-3"] != nil || len(s.chosen.byJob) != maxChosen {
		t.Errorf("shown %s; %d chosen", head.Job, len(s.chosen.byJob))
	}
	if code, _ := request(t, "GET", web.URL+"/curve?job=job-8&from=0&to=9", "", "Cookie", "ringmaster=known"); code != http.StatusOK {
		t.Errorf("a part of its curve: %d", code)
	}
}

// However many look, they are told at most 64 times a second together.
func TestManyBrowsersAreToldLessOften(t *testing.T) {
	cfg := Config{}.withDefaults()
	if one, nobody := cfg.pause(1), cfg.pause(0); one != cfg.Every || nobody != idly*cfg.Every {
		t.Errorf("one: %v, nobody: %v", one, nobody)
	}
	for readers := 1; readers <= maxStreams; readers++ {
		if each := float64(readers) / cfg.pause(readers).Seconds(); each > 64 {
			t.Errorf("%d browsers: %.0f times a second", readers, each)
		}
	}
}

func TestTooManyBrowsersAreRefused(t *testing.T) {
	s, web := served(t, &fake{job: running(1)}, false)
	for range maxStreams {
		s.streams <- struct{}{}
	}
	if code, text := request(t, "GET", web.URL+"/events", "", "Cookie", "ringmaster=known"); code != http.StatusServiceUnavailable || text != "too many browsers look at this page; close one\n" {
		t.Errorf("%d %s", code, text)
	}
}
