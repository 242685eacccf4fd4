package e2e

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/test/browser"
)

var pageLine = regexp.MustCompile(`page: (http://\S+)`)

// page is the address that a launch printed.
func (l *launched) page() string {
	l.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if m := pageLine.FindStringSubmatch(l.stdout.String()); m != nil {
			return m[1]
		}
	}
	l.t.Fatalf("no page was printed: %s", l.stdout.String())
	return ""
}

// The page shows a run as it goes: its curves move, a worker that is killed leaves the picture, pausing pauses, and the run ends with the bits
// of one that nobody looked at.
func TestPage(t *testing.T) {
	page := browser.Open(t)
	want := reference(t)
	env, release := slowly(t)
	l := job{file: config(t, "quickstart.yaml"), workers: 3, env: env, args: []string{"--ui"}}.start(t)
	address := l.page()
	page.Go(address)
	page.Becomes(`document.getElementById("state").textContent === "running"`)
	page.Becomes(`document.querySelectorAll("#ring path.arc").length === 3`)
	page.Becomes(`document.querySelectorAll("#charts canvas").length === 5`)
	step := `Number(document.getElementById("facts").children[0].children[1].textContent.split(" ")[0].replace(/,/g, ""))`
	page.Becomes(step + " > 20 + " + browser.Script[string](page, "String("+step+")"))
	page.Shoot("running")

	status := statusOf(t, "--dir", l.dir)
	if err := kill(status.Workers[2].PID); err != nil {
		t.Fatal(err)
	}
	page.Becomes(`document.querySelectorAll("#ring path.arc").length === 2`)
	page.Becomes(`document.getElementById("views").innerText.includes("worker lost")`)
	page.Becomes(`/computing|waiting|reading/.test(document.querySelector("#workers .time").getAttribute("aria-label"))`)

	press := func(label string) {
		t.Helper()
		page.Becomes(`document.querySelector("button[aria-label='` + label + `']")`)
		browser.Script[bool](page, `document.querySelector("button[aria-label='`+label+`']").click(), true`)
		page.Becomes(`document.getElementById("ask").open`)
		browser.Script[bool](page, `document.getElementById("yes").click(), true`)
	}
	press("Save now quickstart")
	page.Becomes(`document.getElementById("said").textContent.includes("saves a checkpoint") && document.querySelectorAll("#checkpoints tbody td").length >= 3`)
	browser.Script[bool](page, `(() => { const p = document.getElementById("process"); p.value = "w1"; p.dispatchEvent(new Event("change")); return true; })()`)
	page.Becomes(`document.getElementById("lines").children.length > 0`)
	browser.Script[bool](page, `(() => { const w = document.getElementById("wanted"); w.value = 1; document.getElementById("scale").requestSubmit(); return true; })()`)
	page.Becomes(`document.querySelectorAll("#ring path.arc").length === 1`)
	press("Pause quickstart")
	page.Becomes(`document.getElementById("state").textContent === "paused"`)
	page.Shoot("paused")
	press("Resume quickstart")
	page.Becomes(`document.getElementById("state").textContent === "running"`)

	refuseStrangers(t, address)
	if broken := page.Elsewhere() + page.Wrong(); broken != "" {
		t.Errorf("the page fetched from elsewhere, or its console says: %s", broken)
	}
	release()
	if got := l.end(0); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
	reportIn(t, page.Tab(t), l.dir)
}

// reportIn opens the report of a run in the browser: it draws curves, fetches nothing and says nothing to the console.
func reportIn(t *testing.T, page *browser.Page, dir string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if code, _, stderr := run(t, t.TempDir(), "report", dir, "--out", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	page.Go("file://" + file)
	page.Becomes(`document.querySelectorAll("svg path, svg polyline").length > 2`)
	if flat := browser.Script[int](page, `[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().height < 50).length`); flat != 0 {
		t.Errorf("%d pictures have no height", flat)
	}
	if broken := page.Elsewhere() + page.Wrong(); broken != "" {
		t.Errorf("the report fetched something, or its console says: %s", broken)
	}
	page.Shoot("report")
}

// refuseStrangers asks for the page as those do who may not see it.
func refuseStrangers(t *testing.T, address string) {
	t.Helper()
	base, _, _ := strings.Cut(address, "?")
	for _, c := range []struct {
		what   string
		change func(*http.Request)
		code   int
	}{
		{"no cookie", func(*http.Request) {}, http.StatusUnauthorized},
		{"a token that was used", func(r *http.Request) { r.URL.RawQuery = strings.TrimPrefix(address, base+"?") }, http.StatusUnauthorized},
		{"another host", func(r *http.Request) { r.Host = "ringmaster.example" }, http.StatusMisdirectedRequest},
		{"another site", func(r *http.Request) {
			r.Method, r.URL.Path = http.MethodPost, "/do"
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, http.StatusForbidden},
	} {
		request, err := http.NewRequest(http.MethodGet, base, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(request)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != c.code {
			t.Errorf("%s: %s, want %d", c.what, answer.Status, c.code)
		}
	}
}
