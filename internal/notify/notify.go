// Package notify tells commands and web hooks what happens to a training, without ever holding it up.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/printable"
	"ringmaster/internal/records"
)

// Bounds on what telling may cost.
const (
	queueLength   = 64               // events that wait for a target; with more the newest are dropped, and that is said once
	commandTime   = 30 * time.Second // a command that runs longer is killed
	attemptTime   = 10 * time.Second // of one attempt to reach a hook
	attempts      = 3
	closePatience = 15 * time.Second // how long the end waits for what is still to be told
)

// pauses are between the attempts to reach a hook.
var pauses = [attempts - 1]time.Duration{time.Second, 3 * time.Second}

// Target is whom to tell: a command for the shell, or a hook.
type Target struct {
	command string
	hook    *url.URL
}

// Parse reads a target as a person types it: an http or https URL is a hook, anything else a command for /bin/sh.
func Parse(text string) (Target, error) {
	if strings.TrimSpace(text) == "" {
		return Target{}, errors.New("it is empty; give a command, or the URL of a web hook")
	}
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL || strings.ContainsAny(scheme, " /'\"$;|&") {
		return Target{command: text}, nil
	}
	hook, err := url.Parse(text)
	if err != nil {
		return Target{}, fmt.Errorf("%s is no URL; write https://HOST/PATH", printable.Typed(text))
	}
	if hook.Scheme != "http" && hook.Scheme != "https" {
		return Target{}, fmt.Errorf("%s: hooks are told over http or https, not %s", printable.Typed(text), printable.Typed(hook.Scheme))
	}
	if hook.Host == "" {
		return Target{}, fmt.Errorf("%s names no host; write https://HOST/PATH", printable.Typed(text))
	}
	return Target{hook: hook}, nil
}

// String names the target without what may be secret: of a hook only the host.
func (t Target) String() string {
	if t.hook != nil {
		return "the hook at " + t.hook.Host
	}
	return "the command " + printable.Typed(t.command)
}

// Notifier tells its targets. Its methods may be called on nil.
type Notifier struct {
	tellers []*teller
	stop    context.CancelFunc
	running sync.WaitGroup
}

// teller tells one target, one event after the other.
type teller struct {
	target  Target
	queue   chan records.Event
	warn    func(error)
	dropped sync.Once
	failing bool // the last event did not reach it
}

// New makes a notifier; nil without targets. warn may be called from any goroutine: once when a target fails, and again only after it has worked meanwhile.
func New(targets []Target, warn func(error)) *Notifier {
	if len(targets) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &Notifier{stop: stop}
	for _, target := range targets {
		t := &teller{target: target, queue: make(chan records.Event, queueLength), warn: warn}
		n.tellers = append(n.tellers, t)
		n.running.Go(func() { t.run(ctx) })
	}
	return n
}

// Tell hands an event over and returns at once.
func (n *Notifier) Tell(e records.Event) {
	if n == nil {
		return
	}
	for _, t := range n.tellers {
		select {
		case t.queue <- e:
		default:
			t.dropped.Do(func() {
				t.warn(fmt.Errorf("%s is slower than things happen: some events are not told; events.jsonl has them all", t.target))
			})
		}
	}
}

// Close waits a while for what is still to be told. Tell must not be called any more.
func (n *Notifier) Close() {
	if n == nil {
		return
	}
	for _, t := range n.tellers {
		close(t.queue)
	}
	late := time.AfterFunc(closePatience, n.stop)
	defer late.Stop()
	defer n.stop()
	n.running.Wait()
}

func (t *teller) run(ctx context.Context) {
	for e := range t.queue {
		err := t.tell(ctx, e)
		if err != nil && !t.failing {
			t.warn(fmt.Errorf("%s does not hear of events (%s): %w; the training goes on", t.target, e.Event, err))
		}
		t.failing = err != nil
	}
}

func (t *teller) tell(ctx context.Context, e records.Event) error {
	if ctx.Err() != nil {
		return errors.New("there was no time left at the end")
	}
	if e.Text == "" {
		e.Text = fmt.Sprintf("%s: %s at step %d", e.Job, e.Event, e.Step)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if t.target.hook != nil {
		return post(ctx, t.target.hook.String(), body)
	}
	return execute(ctx, t.target.command, e, body)
}
