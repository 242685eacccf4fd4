package ui

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/rpc"
	"ringmaster/internal/test/browser"
)

// trains has the fake cluster's job go on until the test ends: a step at each look.
func trains(f *fake, workers int) {
	f.crowd = crowd(workers, f.job.Step)
	f.going = func() {
		j := running(f.job.Step + 1)
		j.Checkpoints, j.StepsTotal, j.Seats, j.Views = f.job.Checkpoints, 2_000_000, uint32(workers), f.job.Views
		j.TrainLoss = 0.2 + 1/float64(j.Step%100+5)
		f.job = j
		if j.Step%4 == 0 {
			f.crowd = crowd(workers, j.Step)
		}
	}
}

// shownBy opens the page of a fake cluster in the browser.
func shownBy(t testing.TB, page *browser.Page, f *fake, readOnly bool) *httptest.Server {
	t.Helper()
	s, web := served(t, f, readOnly)
	s.cfg.Every, s.watch.cfg.Every = 50*time.Millisecond, 50*time.Millisecond
	run(t, s)
	t.Cleanup(func() { page.Go("about:blank") }) // its streams end
	page.Go(web.URL + "/?token=once")
	page.Becomes(`document.getElementById("state").textContent === "running"`)
	return web
}

// The page in a real browser, of a cluster of 1,000 workers: it shows a part of what is many, is used by the keyboard alone, and goes on after a cut.
func TestPage(t *testing.T) {
	first := browser.Open(t)
	f := &fake{job: saved(running(1_000_000), 1_000_000), past: past(t, 1_000_000), lines: []string{"first line", "second line"}}
	other := saved(&rpc.JobStatus{Job: "b", Name: "b", State: "running", Step: 500_000, StepsTotal: 500_000, Seats: 4, TrainLoss: 0.5, HasTrainLoss: true}, 500_000)
	f.others = []*rpc.JobStatus{other}
	trains(f, 1000)
	web := shownBy(t, first, f, false)
	t.Run("many workers", func(t *testing.T) { manyWorkers(first.For(t)) })
	t.Run("curves", func(t *testing.T) { curves(first.For(t)) })
	t.Run("keyboard", func(t *testing.T) { keyboard(first.For(t), f) })
	t.Run("a log", func(t *testing.T) { oneLog(first.For(t), f) })
	if wrong := first.Wrong(); wrong != "" {
		t.Errorf("the console says: %s", wrong)
	}
	t.Run("a cut", func(t *testing.T) { cut(first.For(t), web) })
	t.Run("another job", func(t *testing.T) {
		page := first.For(t)
		browser.Script[bool](page, `document.querySelector("#jobs a[href='/?job=b']").click(), true`)
		page.Becomes(`document.title.startsWith("b:") && document.querySelector("#jobs a[aria-current]").textContent === "b"`)
	})
	if wrong := first.Wrong(); strings.Contains(wrong, "exception") {
		t.Errorf("the console says: %s", wrong)
	}
	t.Run("states", func(t *testing.T) { states(t, first.Tab(t)) })
	t.Run("who may only look", func(t *testing.T) {
		page := first.Tab(t)
		shownBy(t, page, &fake{job: running(1)}, true)
		page.Becomes(`document.querySelectorAll("#workers tbody tr").length === 1`)
		if n := browser.Script[int](page, `[...document.querySelectorAll("#jobs button, #scale")].filter((e) => e.checkVisibility()).length`); n != 0 {
			t.Errorf("%d buttons", n)
		}
	})
}

func manyWorkers(page *browser.Page) {
	page.Becomes(`document.querySelectorAll("#workers tbody tr").length === 100 && document.querySelectorAll("#ring path.arc").length <= 120`)
	page.Becomes(`/computing \d+ %, waiting \d+ %/.test(document.querySelector("#workers .time").getAttribute("aria-label"))`)
	page.Becomes(`document.getElementById("ring").innerHTML.includes("1,000 of 1,000 in the ring")`)
	page.Becomes(`document.getElementById("waits").children.length === 6`)
	page.Shoot("crowd")
	browser.Script[bool](page, `document.getElementById("more").click(), true`)
	page.Becomes(`document.querySelectorAll("#workers tbody tr").length === 200`)
	browser.Script[bool](page, `(() => { const f = document.getElementById("find"); f.value = "w1000"; f.dispatchEvent(new Event("input")); return true; })()`)
	page.Becomes(`document.querySelectorAll("#workers tbody tr").length === 1 && document.querySelector("#workers td").textContent === "w1000"`)
	browser.Script[bool](page, `(() => { const f = document.getElementById("find"); f.value = ""; f.dispatchEvent(new Event("input")); return true; })()`)
}

// curves zooms, compares, smooths and takes logarithms.
func curves(page *browser.Page) {
	page.Becomes(`document.querySelectorAll("#charts canvas").length === 5`)
	browser.Script[bool](page, `document.getElementById("charts").scrollIntoView(), true`)
	place := browser.Script[[]float64](page, `(() => { const r = document.querySelector("#charts .u-over").getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	x, y, w, h := place[0], place[1], place[2], place[3]
	page.Drag(x+w*0.4, y+h/2, x+w*0.6, y+h/2)
	asked := `performance.getEntriesByType("resource").filter((r) => r.name.includes("/curve?job=a&from=")).length`
	page.Becomes(asked + " === 1")
	browser.Script[bool](page, `document.getElementById("all").click(), true`)
	browser.Script[bool](page, `(() => { const c = document.getElementById("compare"); c.value = "b"; c.dispatchEvent(new Event("change")); return true; })()`)
	page.Becomes(`document.querySelector("#charts .u-legend").innerText.includes("b") && document.getElementById("compared").innerText.includes("b")`)
	browser.Script[bool](page, `document.querySelector("#compared button").click(), true`)
	page.Becomes(`!document.querySelector("#charts .u-legend").innerText.includes("b\t") && document.getElementById("compared").innerText === ""`)
	browser.Script[bool](page, `(() => { for (const [id, set] of [["log", (e) => { e.checked = true; }], ["smooth", (e) => { e.value = 0.9; }]]) { const e = document.getElementById(id); set(e); e.dispatchEvent(new Event("input")); e.dispatchEvent(new Event("change")); } return true; })()`)
}

// keyboard uses the page without a mouse.
func keyboard(page *browser.Page, f *fake) {
	focus := func(what string) {
		browser.Script[bool](page, `document.querySelector("`+what+`").focus(), true`)
	}
	asked := func() string {
		var out string
		f.set(func(f *fake) { out = strings.Join(f.asked, ", "); f.asked = nil })
		return out
	}
	focus("#charts")
	page.Keys("++")
	page.Becomes(`performance.getEntriesByType("resource").filter((r) => r.name.includes("/curve?job=a&from=")).length === 2`)
	page.Keys("0")
	focus("#jobs button[aria-label='Cancel a']")
	page.Keys(browser.Enter)
	page.Becomes(`document.getElementById("ask").open && document.getElementById("question").textContent.startsWith("Cancel a at once?")`)
	page.Keys(browser.Escape)
	page.Becomes(`!document.getElementById("ask").open`)
	if got := asked(); got != "" {
		page.Fatal("asked without a confirmation: " + got)
	}
	focus("#jobs button[aria-label='Priority a']")
	page.Keys(browser.Enter)
	page.Becomes(`document.getElementById("ask").open`)
	focus("#number")
	browser.Script[bool](page, `document.getElementById("number").select(), true`)
	page.Keys("7")
	focus("#yes")
	page.Keys(browser.Enter)
	page.Becomes(`document.getElementById("said").textContent === "a: Its priority is 7."`)
	focus("#jobs button[aria-label='Cancel a']")
	page.Keys(browser.Enter)
	page.Becomes(`document.getElementById("ask").open`)
	focus("#yes")
	page.Keys(browser.Enter)
	page.Becomes(`document.getElementById("said").textContent === "a: Cancelled."`)
	if got := asked(); got != "a CHANGE_PRIORITY 7, a CHANGE_CANCEL 0" {
		page.Fatal("asked " + got)
	}
	// Whatever can be used is reached by the keyboard and has a name.
	if nameless := browser.Script[string](page, `[...document.querySelectorAll("button, a, input, select, [tabindex]")].filter((e) => e.tabIndex < 0 || !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.innerText || e.closest("label")?.innerText)).map((e) => e.outerHTML.slice(0, 80)).join(" ")`); nameless != "" {
		page.Fatal("without a name: " + nameless)
	}
}

func oneLog(page *browser.Page, f *fake) {
	browser.Script[bool](page, `(() => { const p = document.getElementById("process"); p.value = "w1"; p.dispatchEvent(new Event("change")); return true; })()`)
	page.Becomes(`document.getElementById("lines").innerText.includes("second line")`)
	f.set(func(f *fake) { f.lines = append(f.lines, "third line") })
	page.Becomes(`[...document.getElementById("lines").children].map((l) => l.innerText).join() === "first line,second line,third line"`)
}

// cut ends the connections of the page, which goes on from where it was: no point is missing, and none is there twice.
func cut(page *browser.Page, web *httptest.Server) {
	browser.Script[bool](page, `(() => { window.cuts = 0; new MutationObserver(() => { if (document.getElementById("banner").textContent.includes("trying again")) window.cuts++; }).observe(document.getElementById("banner"), { childList: true }); return true; })()`)
	before := browser.Script[int](page, `ringmaster.points.at(-1)[0]`)
	web.CloseClientConnections()
	page.Becomes(`window.cuts > 0`)
	page.Becomes(fmt.Sprintf(`ringmaster.points.at(-1)[0] > %d && document.getElementById("banner").hidden`, before+20))
	if gap := browser.Script[string](page, `(() => { const live = ringmaster.points.map((p) => p[0]).filter((s) => s > 1000000); return live.filter((s, i) => i > 0 && s !== live[i - 1] + 1).join(); })()`); gap != "" {
		page.Fatal("after a gap: " + gap)
	}
}

// states shows each state of a job as what it is, and fits on a phone. Pictures are kept in the folder that RINGMASTER_SCREENSHOTS names.
func states(t *testing.T, page *browser.Page) {
	f := &fake{job: saved(running(100), 100), past: past(t, 100), crowd: crowd(3, 100)}
	f.job.StepsTotal, f.job.Seats, f.job.Name = 400, 3, "digits"
	shownBy(t, page, f, false)
	for _, c := range []struct {
		state, says string
		change      func(j *rpc.JobStatus)
	}{
		{"waiting", "2 workers are attached, the job needs 3", func(j *rpc.JobStatus) { j.Message = "2 workers are attached, the job needs 3" }},
		{"running", "waiting for w2 on host-1: not answering for 1.4 s", func(j *rpc.JobStatus) {
			j.Stalled = &rpc.Stall{Worker: "w2", Host: "host-1", Doing: "not answering", SinceMs: 1400, Reason: "waiting for w2 on host-1: not answering for 1.4 s"}
		}},
		{"done", "", func(j *rpc.JobStatus) { j.Ended, j.Step, j.Digest = true, 400, []byte("a digest of the parameters") }},
		{"failed", "the loss is not finite at step 101", func(j *rpc.JobStatus) { j.Ended, j.Error = true, "the loss is not finite at step 101" }},
	} {
		j := saved(running(100), 100)
		j.StepsTotal, j.Seats, j.Name, j.State = 400, 3, "digits", c.state
		c.change(j)
		f.set(func(f *fake) { f.job = j })
		page.Becomes(fmt.Sprintf(`document.getElementById("state").textContent === %q && document.getElementById("banner").textContent === %q && document.getElementById("banner").hidden === %t`, c.state, c.says, c.says == ""))
		page.Shoot("state-" + c.state)
	}
	f.set(func(f *fake) {
		f.job, f.crowd = running(100), crowd(4, 100)
		f.crowd[0].Job, f.crowd[1].Job, f.crowd[2].Job = "b", "b", "a"
		f.crowd[3].Seated, f.crowd[3].State = false, "idle"
	})
	// Jobs side by side: the ring is of this job's workers, and the table says for which job the others are.
	page.Becomes(`[...document.querySelectorAll("#workers tbody tr")].map((r) => r.cells[2].textContent).join() === "2,for b,for b,–"`)
	page.Becomes(`document.getElementById("ring").textContent.includes("1 of 2 in the ring") && document.querySelectorAll("#ring circle").length === 1`)
	page.Shoot("side-by-side")
	page.Size(390, 844)
	page.Becomes(`document.documentElement.scrollWidth <= 390`)
	page.Shoot("phone")
}

// BenchmarkPage measures in a real browser what the page of 1,000 workers and a million steps takes: the time to its first paint, then how much
// of a second the browser works, how much of it in scripts, and what it holds.
func BenchmarkPage(b *testing.B) {
	page := browser.Open(b)
	f := &fake{job: saved(running(1_000_000), 1_000_000), past: past(b, 1_000_000)}
	trains(f, 1000)
	s, web := served(b, f, false)
	million(&s.watch.curve)
	run(b, s)
	b.Cleanup(func() { page.Go("about:blank") })
	page.Go(web.URL + "/?token=once")
	page.Becomes(`document.querySelectorAll("#workers tbody tr").length === 100 && document.querySelectorAll("#charts canvas").length === 5`)
	painted := browser.Script[float64](page, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	before := page.Metrics()
	for b.Loop() {
		time.Sleep(5 * time.Second)
	}
	after := page.Metrics()
	since := func(name string) float64 { return after[name] - before[name] }
	b.ReportMetric(painted, "ms-to-paint")
	b.ReportMetric(100*since("TaskDuration")/since("Timestamp"), "%-busy")
	b.ReportMetric(100*since("ScriptDuration")/since("Timestamp"), "%-in-scripts")
	b.ReportMetric(after["JSHeapUsedSize"]/(1<<20), "MiB-heap")
	b.ReportMetric(after["Nodes"], "nodes")
}
