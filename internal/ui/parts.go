package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"ringmaster/internal/launch"
)

// maxRate bounds the bytes a second that a browser is sent of one part.
const maxRate = 256 << 10

// parts are what a snapshot is sent in. Each one is an event of its own, sent when it has changed; a large one is sent less often.
var parts = [...]struct {
	name string
	of   func(*Snapshot) any
}{
	{"head", head},
	{"workers", workers},
	{"jobs", func(s *Snapshot) any { return s.Jobs }},
	{"epochs", func(s *Snapshot) any { return s.Epochs }},
	{"views", func(s *Snapshot) any { return s.Views }},
	{"checkpoints", func(s *Snapshot) any { return s.Checkpoints }},
}

// head is a snapshot without its lists.
func head(s *Snapshot) any {
	out := *s
	if s.Status != nil {
		status := *s.Status
		status.Workers = nil
		out.Status = &status
	}
	return &out
}

func workers(s *Snapshot) any {
	if s.Status == nil {
		return []launch.WorkerStatus{}
	}
	return s.Status.Workers
}

// part is one part as it was last.
type part struct {
	version uint64 // how often it has changed
	event   []byte // as it is sent, never changed
}

// renew takes a part over, if it is another one.
func (p *part) renew(name string, content any) {
	data, err := json.Marshal(content)
	if err != nil {
		return
	}
	if event := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data); !bytes.Equal(event, p.event) {
		p.version++
		p.event = event
	}
}

// reader is what one browser was sent.
type reader struct {
	curve mark
	told  [len(parts)]uint64
	due   [len(parts)]time.Time // when it may be sent a part again
}

// mark is how far a browser's curve goes.
type mark struct {
	version uint64
	live    int
}

// news is what a browser lacks, as events, and a channel that is closed when there may be more. Only the events of the curve have ids, so
// that a browser that comes back says how far its curve goes.
func (w *watcher) news(r *reader, now time.Time) (events [][]byte, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.parts {
		if p := &w.parts[i]; r.told[i] != p.version && !now.Before(r.due[i]) {
			r.told[i], r.due[i] = p.version, now.Add(time.Duration(len(p.event))*time.Second/maxRate)
			events = append(events, p.event)
		}
	}
	at := mark{w.curve.version, len(w.curve.live)}
	if r.curve != at {
		events = append(events, w.curveEvent(r.curve, at))
	}
	r.curve = at
	return events, w.changed
}

// told is an event of the curve, which many browsers lack at once.
type told struct {
	from, to mark
	event    []byte
}

// curveEvent takes a browser's curve from a mark to the newest one: by the points that it lacks, or whole. w.mu is held.
func (w *watcher) curveEvent(from, to mark) []byte {
	name, lacks := "points", w.curve.added
	if from.version != to.version || from.live > to.live {
		from, name, lacks = mark{}, "curve", func(int) []Point { return w.curve.all() }
	}
	t := &w.told
	if t.event == nil || t.from != from || t.to != to {
		out := fmt.Appendf(nil, "id: %d.%d\nevent: %s\ndata: ", to.version, to.live, name)
		*t = told{from, to, append(appendPoints(out, w.curve.job, lacks(from.live)), "\n\n"...)}
	}
	return t.event
}
