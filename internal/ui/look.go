package ui

import "context"

// Watcher follows a cluster for those who show it elsewhere than in a browser: they see what the page shows.
type Watcher struct{ watch *watcher }

// NewWatcher makes a watcher of a job, by its id, or of what the cluster shows by itself where that is empty; Run must run beside it. Of the
// configuration Dial, Machine, ReadOnly and Every count.
func NewWatcher(cfg Config, job string) *Watcher {
	return &Watcher{newWatcher(cfg.withDefaults(), job)}
}

// Run asks the cluster again and again until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	w.watch.arrive()
	defer w.watch.leave()
	w.watch.run(ctx)
}

// Now is what the cluster said last (nil before its first answer, with Error set while it does not answer), the curve of the job that is
// shown, and a channel that is closed when there is more.
func (w *Watcher) Now() (*Snapshot, []Point, <-chan struct{}) {
	k := w.watch
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen, k.curve.all(), k.changed
}

// CarryOut does what a person asks for. The answer is one line: what was done.
func CarryOut(parent context.Context, dial func() Cluster, a Action) (string, error) {
	ctx, cancel := context.WithTimeout(parent, askTimeout)
	defer cancel()
	cluster := dial()
	defer cluster.Close()
	return carryOut(ctx, cluster, a)
}
