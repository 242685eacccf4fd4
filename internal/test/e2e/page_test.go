package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser opens a real Chromium, or skips the test and says so.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if path, err = exec.LookPath("chromium-browser"); err != nil {
			t.Skip("no chromium here (Debian: apt-get install chromium): the page is not looked at")
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(2*time.Minute), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// script evaluates JavaScript on the page.
func script[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := chromedp.Run(bounded, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// becomes waits until an expression is true on the page.
func becomes(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	guarded := "(() => { try { return !!(" + expression + "); } catch { return false; } })()" // the page may still be on its way
	for deadline := time.Now().Add(patience); !script[bool](t, ctx, guarded); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s\npage: %s", expression, script[string](t, ctx, "document.body.innerText"))
		}
	}
}

// shoot keeps a picture of the page in the folder that RINGMASTER_SCREENSHOTS names.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("RINGMASTER_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

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
	ctx := browser(t)
	want := reference(t)
	env, release := slowly(t)
	l := job{file: config(t, "quickstart.yaml"), workers: 3, env: env, args: []string{"--ui"}}.start(t)
	address := l.page()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	becomes(t, ctx, `document.getElementById("state").textContent === "running"`)
	becomes(t, ctx, `document.querySelectorAll("#ring path[stroke-width='18']").length === 3`)
	becomes(t, ctx, `document.querySelectorAll("#charts canvas").length === 5`)
	step := `Number(document.getElementById("facts").children[0].children[1].textContent.split(" ")[0].replace(/,/g, ""))`
	becomes(t, ctx, step+" > 20 + "+script[string](t, ctx, "String("+step+")"))
	shoot(t, ctx, "running")

	status := statusOf(t, "--dir", l.dir)
	if err := kill(status.Workers[2].PID); err != nil {
		t.Fatal(err)
	}
	becomes(t, ctx, `document.querySelectorAll("#ring path[stroke-width='18']").length === 2`)
	becomes(t, ctx, `document.getElementById("views").innerText.includes("worker lost")`)

	press := func(label string) {
		t.Helper()
		becomes(t, ctx, `document.querySelector("button[aria-label='`+label+`']")`)
		script[bool](t, ctx, `document.querySelector("button[aria-label='`+label+`']").click(), true`)
		becomes(t, ctx, `document.getElementById("ask").open`)
		script[bool](t, ctx, `document.getElementById("yes").click(), true`)
	}
	press("Pause quickstart")
	becomes(t, ctx, `document.getElementById("state").textContent === "paused"`)
	shoot(t, ctx, "paused")
	press("Resume quickstart")
	becomes(t, ctx, `document.getElementById("state").textContent === "running"`)

	refuseStrangers(t, address)
	if broken := script[string](t, ctx, `performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith(location.origin)).join(" ")`); broken != "" {
		t.Errorf("the page fetched from elsewhere: %s", broken)
	}
	release()
	if got := l.end(0); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
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
