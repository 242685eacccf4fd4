// Package browser has tests look at pages in a real Chromium.
package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience bounds what should take seconds.
const patience = time.Minute

// Keys that have no letter, for Page.Keys.
const (
	Enter  = kb.Enter
	Escape = kb.Escape
)

// Page is a tab of a browser.
type Page struct {
	ctx     context.Context
	t       testing.TB
	console *console
}

// console is what a page's console has said of errors.
type console struct {
	mu    sync.Mutex
	wrong []string
}

// Open opens a real Chromium with an empty page, or skips the test and says so.
func Open(t testing.TB) *Page {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if path, err = exec.LookPath("chromium-browser"); err != nil {
			t.Skip("no chromium here (Debian: apt-get install chromium): the page is not looked at")
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return newPage(t, allocated)
}

// Tab opens another page in the same browser, for another test.
func (p *Page) Tab(t testing.TB) *Page {
	t.Helper()
	return newPage(t, p.ctx)
}

// For is the same page, for a test within the one that opened it.
func (p *Page) For(t testing.TB) *Page { return &Page{p.ctx, t, p.console} }

// Fatal ends the test.
func (p *Page) Fatal(text string) {
	p.t.Helper()
	p.t.Fatal(text)
}

func newPage(t testing.TB, parent context.Context) *Page {
	t.Helper()
	ctx, end := chromedp.NewContext(parent)
	p := &Page{ctx: ctx, t: t, console: &console{}}
	messages := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.IsException() {
				p.console.complain(m.String())
			}
		}
	})
	t.Cleanup(func() { end(); listening.Wait() })
	p.do()
	return p
}

func (c *console) complain(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, text)
}

// Wrong is what the page's console has said of errors so far.
func (p *Page) Wrong() string {
	p.console.mu.Lock()
	defer p.console.mu.Unlock()
	return strings.Join(p.console.wrong, "\n")
}

// Go opens an address.
func (p *Page) Go(address string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
}

func (p *Page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	bounded, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(bounded, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Script evaluates JavaScript on the page.
func Script[T any](p *Page, expression string) T {
	p.t.Helper()
	value, err := evaluate[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func evaluate[T any](p *Page, expression string) (T, error) {
	bounded, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(bounded, chromedp.Evaluate[T](expression))
}

// Becomes waits until an expression is true on the page. What fails is not true: the page may still be on its way.
func (p *Page) Becomes(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		is, err := evaluate[bool](p, "!!("+expression+")")
		if is && err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("never true: %s (%v)\npage: %s", expression, err, Script[string](p, "document.body.innerText"))
		}
	}
}

// Keys types on the page's keyboard.
func (p *Page) Keys(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// Drag moves the mouse from a place of the window to another one with its button held.
func (p *Page) Drag(x1, y1, x2, y2 float64) {
	p.t.Helper()
	p.do(chromedp.DragAndDropXY(x1, y1, x2, y2))
}

// Size gives the window another size.
func (p *Page) Size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

// Metrics are what Chromium has counted for the page so far: TaskDuration (seconds), JSHeapUsedSize (bytes), Nodes and so on.
func (p *Page) Metrics() map[string]float64 {
	p.t.Helper()
	out := map[string]float64{}
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, performance.Enable, performance.EnableParams{}); err != nil {
			return err
		}
		all, err := cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
		for _, m := range all.Metrics {
			out[m.Name] = m.Value
		}
		return err
	}))
	return out
}

// Elsewhere are the addresses that the page has fetched from other places than its own.
func (p *Page) Elsewhere() string {
	p.t.Helper()
	return Script[string](p, `performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith(location.origin)).join(" ")`)
}

// Shoot keeps pictures of the page, light and dark, in the folder that RINGMASTER_SCREENSHOTS names.
func (p *Page) Shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("RINGMASTER_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}))
		picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), picture, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}
