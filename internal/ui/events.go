package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// Bounds on what a browser may ask, and how long it may take to read or write.
const (
	maxBody      = 4 << 10
	maxName      = 256
	maxStreams   = 256
	writeTimeout = 10 * time.Second
	maxCurves    = 64
)

// events streams what is new: the parts of the newest snapshot, "curve", a whole curve, and "points", what is added to its end. A browser that
// reads slowly gets fewer states and no point less. One that comes back after a cut gets the points that it lacks.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	job, ok := named(w, r, "job")
	if !ok || !take(w, s.streams, "too many browsers look at this page; close one") {
		return
	}
	defer func() { <-s.streams }()
	watch, err := s.enter(r.Context(), job)
	switch {
	case r.Context().Err() != nil:
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer watch.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	if send(w, []byte("retry: 1000\n\n")) != nil { // after a cut the browser comes back in a second
		return
	}
	look := &reader{curve: lastMark(r.Header.Get("Last-Event-ID"))}
	for {
		events, changed := watch.news(look, time.Now())
		if send(w, events...) != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// lastMark is how far a curve goes by the id of a browser's last event. Where that is none, it has no curve.
func lastMark(id string) mark {
	version, live, _ := strings.Cut(id, ".")
	v, err := strconv.ParseUint(version, 10, 64)
	n, also := strconv.ParseUint(live, 10, 31)
	if err != nil || also != nil {
		return mark{}
	}
	return mark{v, int(n)}
}

// named is a parameter that names something; false where it is too long, which was answered.
func named(w http.ResponseWriter, r *http.Request, parameter string) (string, bool) {
	name := r.URL.Query().Get(parameter)
	if len(name) > maxName {
		http.Error(w, fmt.Sprintf("%s: more than %d bytes are no name", parameter, maxName), http.StatusBadRequest)
		return "", false
	}
	return name, true
}

// take takes a place; false where none is free, which was answered.
func take(w http.ResponseWriter, places chan struct{}, full string) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		http.Error(w, full, http.StatusServiceUnavailable)
		return false
	}
}

// send writes events, or nothing where there are none.
func send(w http.ResponseWriter, events ...[]byte) error {
	if len(events) == 0 {
		return nil
	}
	out := http.NewResponseController(w)
	if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	for _, e := range events {
		if _, err := w.Write(e); err != nil {
			return err
		}
	}
	return out.Flush()
}

func quote(text string) []byte {
	data, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`)
	}
	return data
}

// curve answers the curve of any job: from its newest checkpoint, or of a job that is shown the part between two steps, more finely.
func (s *Server) curve(w http.ResponseWriter, r *http.Request) {
	job, ok := named(w, r, "job")
	if !ok {
		return
	}
	query := r.URL.Query()
	if query.Has("from") || query.Has("to") {
		s.section(w, job, query)
		return
	}
	k := s.watch
	k.mu.Lock()
	folder := k.folders[job]
	points, known := k.curves[folder]
	k.mu.Unlock()
	if folder == "" {
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
	tell(w, job, points)
}

// section answers a part of the curve of a job that is shown.
func (s *Server) section(w http.ResponseWriter, job string, query url.Values) {
	from, err := strconv.ParseUint(query.Get("from"), 10, 64)
	to, also := strconv.ParseUint(query.Get("to"), 10, 64)
	if err != nil || also != nil || from > to {
		http.Error(w, "from and to must be steps, the first not after the last", http.StatusBadRequest)
		return
	}
	k := s.of(job)
	if k == nil {
		http.Error(w, "this job is not shown", http.StatusNotFound)
		return
	}
	k.mu.Lock()
	points := k.curve.within(from, to)
	k.mu.Unlock()
	tell(w, job, points)
}

func tell(w http.ResponseWriter, job string, points []Point) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(appendPoints(nil, job, points)) // nobody is told where the browser has gone
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

// check refuses what no coordinator would take, before it is asked.
func (a Action) check() error {
	switch {
	case a.Job == "" || len(a.Job) > maxName:
		return errors.New("an action needs a job's id")
	case a.Do == "priority" && (a.Number < -fsm.MaxPriority || a.Number > fsm.MaxPriority):
		return fmt.Errorf("priority %d: it must be a whole number from %d to %d", a.Number, -fsm.MaxPriority, fsm.MaxPriority)
	case a.Do == "scale" && (a.Number < 1 || a.Number > config.MaxSeats):
		return fmt.Errorf("%d workers: it must be a whole number from 1 to the job's seats", a.Number)
	}
	return nil
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
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeTimeout)) // where it cannot be set, the body is bounded still
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	var a Action
	if err := decoder.Decode(&a); err != nil {
		http.Error(w, "not an action: "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
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
