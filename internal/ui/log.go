package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// How many logs are read at once, how often, and how many lines a reader gets first.
const (
	maxReaders = 16
	logTail    = 500
)

// log streams the log of a process: events "lines", a list of lines, and "trouble", a line that says why there are none. Each id says how far
// the lines go, so that a browser that comes back gets only what it lacks.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	process, ok := named(w, r, "process")
	if !ok {
		return
	}
	if process == "" {
		http.Error(w, "name a process", http.StatusBadRequest)
		return
	}
	if !take(w, s.readers, "too many logs are read here; close one") {
		return
	}
	defer func() { <-s.readers }()
	w.Header().Set("Content-Type", "text/event-stream")
	request := &rpc.LogsRequest{Process: process, Tail: logTail}
	request.Life, request.After = lastLine(r.Header.Get("Last-Event-ID"))
	cluster := s.cfg.Dial()
	defer cluster.Close()
	told := ""
	for {
		event, err := nextLines(r.Context(), cluster, request, &told)
		if err != nil {
			return
		}
		if len(event) > 0 && send(w, event) != nil {
			return
		}
		if !sleep.For(r.Context(), 2*s.cfg.Every) {
			return
		}
	}
}

// lastLine is how far a log was read by the id of a browser's last event; zeros where that is none.
func lastLine(id string) (life, line uint64) {
	first, second, _ := strings.Cut(id, ".")
	life, err := strconv.ParseUint(first, 10, 64)
	line, also := strconv.ParseUint(second, 10, 64)
	if err != nil || also != nil {
		return 0, 0
	}
	return life, line
}

// nextLines is what is new in a log, as an event; told is the trouble that the reader knows of. An error ends the reading.
func nextLines(parent context.Context, cluster Cluster, request *rpc.LogsRequest, told *string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(parent, 2*askTimeout)
	defer cancel()
	reply, err := cluster.Logs(ctx, request)
	if parent.Err() != nil {
		return nil, parent.Err()
	}
	if err != nil {
		if *told == err.Error() {
			return nil, nil
		}
		*told = err.Error()
		return fmt.Appendf(nil, "event: trouble\ndata: %s\n\n", quote(*told)), nil
	}
	*told = ""
	lines := reply.Lines
	if reply.Missed > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines left out", reply.Missed)}, lines...)
	}
	request.Life, request.After = reply.Life, reply.Last
	if len(lines) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(lines)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "id: %d.%d\nevent: lines\ndata: %s\n\n", reply.Life, reply.Last, data), nil
}
