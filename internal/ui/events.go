package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// Bounds on what a browser may ask, and how long it may take to read.
const (
	maxBody      = 4 << 10
	maxName      = 256
	writeTimeout = 10 * time.Second
	maxCurves    = 64
)

// mark is how far a browser's curve goes.
type mark struct {
	version uint64
	live    int
}

// events streams what is new: "state" is the newest snapshot, "curve" a whole curve, "points" what is added to its end. A browser that
// reads slowly gets fewer states and no point less. Each id says how far the curve goes, so that one that comes back gets only what it lacks.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	var sent mark
	if n, _ := fmt.Sscanf(r.Header.Get("Last-Event-ID"), "%d.%d", &sent.version, &sent.live); n < 2 || sent.live < 0 {
		sent = mark{}
	}
	var told []byte
	for {
		message, changed := s.news(&sent, &told)
		if len(message) > 0 {
			if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
				return
			}
			if _, err := w.Write(message); err != nil || out.Flush() != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// news is what a browser lacks, as events, and a channel that is closed when there is more.
func (s *Server) news(sent *mark, told *[]byte) (message []byte, changed <-chan struct{}) {
	k := s.watch
	k.mu.Lock()
	defer k.mu.Unlock()
	c := &k.curve
	now := mark{c.version, len(c.live)}
	var b bytes.Buffer
	event := func(name string, data []byte) {
		fmt.Fprintf(&b, "id: %d.%d\nevent: %s\ndata: %s\n\n", now.version, now.live, name, data)
	}
	if !bytes.Equal(*told, k.state) {
		*told = k.state
		event("state", k.state)
	}
	switch {
	case sent.version != now.version || sent.live > now.live:
		event("curve", fmt.Appendf(nil, `{"job":%s,"points":%s}`, quote(c.job), c.points(true, 0)))
	case sent.live < now.live:
		event("points", fmt.Appendf(nil, `{"job":%s,"points":%s}`, quote(c.job), c.points(false, sent.live)))
	}
	*sent = now
	return b.Bytes(), k.changed
}

func quote(text string) []byte {
	data, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`)
	}
	return data
}

// curve answers the curve of any job, from its newest checkpoint.
func (s *Server) curve(w http.ResponseWriter, r *http.Request) {
	job := r.URL.Query().Get("job")
	k := s.watch
	k.mu.Lock()
	folder := k.folders[job]
	points, known := k.curves[folder]
	k.mu.Unlock()
	if folder == "" || len(job) > maxName {
		http.Error(w, "no such job, or it has no checkpoint yet", http.StatusNotFound)
		return
	}
	if !known {
		var err error
		if points, err = s.readCurve(r.Context(), folder); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		k.mu.Lock()
		if len(k.curves) >= maxCurves {
			clear(k.curves)
		}
		k.curves[folder] = points
		k.mu.Unlock()
	}
	whole := curve{base: points}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"job":%s,"points":%s}`, quote(job), whole.points(true, 0))
}

func (s *Server) readCurve(parent context.Context, folder string) ([]Point, error) {
	name, ok := checkpoint.ParseName(folder)
	if !ok {
		return nil, fmt.Errorf("%s is no checkpoint's folder", printable.Line(folder, maxName))
	}
	ctx, cancel := context.WithTimeout(parent, askTimeout)
	defer cancel()
	cluster := s.cfg.Dial()
	defer cluster.Close()
	data, err := cluster.ReadFile(ctx, folder, checkpoint.HistoryFile(), checkpoint.MaxHistoryFile)
	if err != nil {
		return nil, err
	}
	h, err := checkpoint.DecodeHistory(data)
	if err != nil {
		return nil, err
	}
	return fromHistory(h.Curve(name.Step)), nil
}

// Action is what a person asks for.
type Action struct {
	Job    string `json:"job"`
	Do     string `json:"do"`     // pause, resume, cancel, stop, save, priority, scale
	Number int    `json:"number"` // the priority, or the number of workers
}

// do carries an action out. The answer is one line: what was done, or why not.
func (s *Server) do(w http.ResponseWriter, r *http.Request) {
	if s.cfg.ReadOnly {
		http.Error(w, "this page may only look", http.StatusForbidden)
		return
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		http.Error(w, "JSON is wanted", http.StatusUnsupportedMediaType)
		return
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	var a Action
	if err := decoder.Decode(&a); err != nil {
		http.Error(w, "not an action: "+err.Error(), http.StatusBadRequest)
		return
	}
	if a.Job == "" || len(a.Job) > maxName {
		http.Error(w, "an action needs a job's id", http.StatusBadRequest)
		return
	}
	select {
	case s.actions <- struct{}{}:
		defer func() { <-s.actions }()
	case <-r.Context().Done():
		return
	}
	done, err := CarryOut(r.Context(), s.cfg.Dial, a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	s.cfg.Log.Info("asked on the page", "job", a.Job, "action", a.Do, "number", a.Number)
	fmt.Fprintln(w, done)
}

func carryOut(ctx context.Context, cluster Cluster, a Action) (string, error) {
	switch a.Do {
	case "pause":
		return "It saves a checkpoint and gives its workers up.", cluster.Change(ctx, a.Job, rpc.Change_CHANGE_PAUSE, 0)
	case "resume":
		return "It takes its turn again.", cluster.Change(ctx, a.Job, rpc.Change_CHANGE_RESUME, 0)
	case "cancel":
		return "Cancelled.", cluster.Change(ctx, a.Job, rpc.Change_CHANGE_CANCEL, 0)
	case "stop":
		return "It saves a checkpoint after its step and ends.", cluster.Stop(ctx, a.Job)
	case "save":
		return "It saves a checkpoint after its step.", cluster.Change(ctx, a.Job, rpc.Change_CHANGE_SAVE, 0)
	case "priority":
		return fmt.Sprintf("Its priority is %d.", a.Number), cluster.Change(ctx, a.Job, rpc.Change_CHANGE_PRIORITY, a.Number)
	case "scale":
		return fmt.Sprintf("It is to have %d workers.", a.Number), cluster.Scale(ctx, a.Job, a.Number)
	}
	return "", fmt.Errorf("nothing is known here that is called %s", printable.Line(a.Do, 40))
}
