package ui

import (
	"context"
	"errors"
	"sync"
)

// maxChosen bounds the jobs that are watched beside the one that the cluster shows by itself.
const maxChosen = 8

var errTooManyJobs = errors.New("too many jobs are watched on this page; close one")

// chosen are the watchers of the jobs that browsers have chosen.
type chosen struct {
	mu    sync.Mutex
	byJob map[string]*watcher
	begin chan *watcher // taken by Server.Run
}

// enter is the watcher of a job, or of what the cluster shows by itself where job is empty. The reader must leave it again.
func (s *Server) enter(ctx context.Context, job string) (*watcher, error) {
	if job == "" {
		s.watch.arrive()
		return s.watch, nil
	}
	c := &s.chosen
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.byJob[job]
	if w == nil {
		if !c.room() {
			return nil, errTooManyJobs
		}
		w = newWatcher(s.cfg, job)
		select {
		case c.begin <- w:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		c.byJob[job] = w
	}
	w.arrive()
	return w, nil
}

// room makes room for a watcher more: one that nobody reads gives way. c.mu is held, so nobody arrives meanwhile.
func (c *chosen) room() bool {
	if len(c.byJob) < maxChosen {
		return true
	}
	for job, w := range c.byJob {
		if w.idle() {
			delete(c.byJob, job)
			close(w.over)
			return true
		}
	}
	return false
}

// of is the watcher that shows a job; nil: none does.
func (s *Server) of(job string) *watcher {
	s.chosen.mu.Lock()
	w := s.chosen.byJob[job]
	s.chosen.mu.Unlock()
	if w == nil && s.watch.shows(job) {
		w = s.watch
	}
	return w
}

// Run asks the cluster again and again until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { s.watch.run(ctx) })
	for {
		select {
		case w := <-s.chosen.begin:
			watching.Go(func() { w.run(ctx) })
		case <-ctx.Done():
			watching.Wait()
			return
		}
	}
}
