package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
	"ringmaster/internal/trainer"
)

// Options describe one run.
type Options struct {
	Seed         uint64
	Workers      int
	Coordinators int
	Faults       int
	Plan         *trainer.Plan
	Reference    string  // state digest at the end of an undisturbed run, hex
	Queue        []Trial // more jobs, submitted behind the first one
	Early        bool    // the jobs are there before the first worker
	Steered      bool    // people pause jobs, resume them, change their priorities and cancel some
	Shared       bool    // jobs take as many workers as their bounds allow, and not Workers
	Log          *slog.Logger
	SeatTimes    []time.Duration // what a seat takes each of the first workers; those that are missing are drawn
	// Sabotage breaks what the cluster relies on, to show that the judge notices.
	Sabotage Sabotage
}

// Trial is a job with its expected result.
type Trial struct {
	Plan      *trainer.Plan
	Reference string // state digest at the end of an undisturbed run, hex
}

// trials are all jobs in the order of their submission.
func (o *Options) trials() []Trial { return append([]Trial{{o.Plan, o.Reference}}, o.Queue...) }

// wanted is the number of workers that jobs ask for; 0: as many as they may have.
func (o *Options) wanted() int {
	if o.Shared {
		return 0
	}
	return o.Workers
}

// Sabotage is what is broken on purpose.
type Sabotage struct {
	ForgetfulDisks bool          // a coordinator's crash loses its log
	Liar           *trainer.Plan // worker w1 computes by this plan
}

// patience is how long, in simulated time, a job may take once the faults have ended.
const patience = 5 * time.Minute

// Outcome is a run's result.
type Outcome struct {
	Problems []string
	Steps    int // finished by all workers together
	Views    int
	Moves    int           // views made to move seats to faster workers
	Beside   int           // steps that were finished while another job had a started view
	Took     time.Duration // simulated
}

// Run lives one cluster's life. It must be called in a synctest bubble.
func Run(o Options) Outcome {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	w, first, err := begin(ctx, o)
	if err != nil {
		w.close()
		return Outcome{Problems: []string{err.Error()}}
	}
	jobs := []string{first}
	for _, t := range o.Queue {
		job, err := w.submit(t.Plan, o.wanted())
		if jobs = append(jobs, job); err != nil {
			w.close()
			return Outcome{Problems: []string{err.Error()}}
		}
	}
	if o.Early {
		w.startWorkers(o)
	}
	for _, f := range drawSchedule(w.random, o.Faults, o.Steered) {
		time.Sleep(f.Wait)
		if w.ended(jobs...) {
			break
		}
		w.log.Info("FAULT", "fault", f.String())
		w.inflict(f, jobs)
	}
	w.mend()
	for _, job := range jobs {
		if o.Steered && !w.ended(job) {
			w.change(job, rpc.Change_CHANGE_RESUME, 0)
		}
	}
	ended := w.await(patience, jobs...)
	unsettled := w.settle(patience)
	var out Outcome
	w.read(func(st *fsm.State) {
		out = Outcome{Problems: w.judge.verdict(st, o.trials()...), Steps: w.judge.steps, Views: len(st.Newest().Views), Beside: w.judge.beside, Took: time.Since(began)}
		for _, v := range st.Newest().Views {
			if v.Cause == "rebalanced" {
				out.Moves++
			}
		}
	})
	if !ended {
		out.Problems = append(out.Problems, fmt.Sprintf("the job did not end within %v after the faults: %s", patience, w.where()))
	}
	if unsettled != "" {
		out.Problems = append(out.Problems, fmt.Sprintf("%v after the faults: %s", patience, unsettled))
	}
	cancel() // first, so that no restart that is still to come finds a world to come to
	w.close()
	return out
}

// begin starts a cluster and gives it the job.
func begin(ctx context.Context, o Options) (w *World, job string, err error) {
	w = newWorld(ctx, o.Seed, o.Plan, o.Log)
	for _, t := range o.Queue {
		w.plans[string(t.Plan.Job.Encode())] = t.Plan
	}
	w.sabotage = o.Sabotage
	w.addCoordinators(o.Coordinators)
	for _, c := range w.all() {
		if err := c.start(); err != nil {
			return w, "", err
		}
	}
	if !o.Early {
		w.startWorkers(o)
	}
	job, err = w.submit(o.Plan, o.wanted())
	return w, job, err
}

func (w *World) startWorkers(o Options) {
	for i := range o.Workers {
		k := w.addWorker()
		if i < len(o.SeatTimes) {
			k.seatTime = o.SeatTimes[i]
		}
		k.start()
	}
}

// submit gives a job to whoever leads.
func (w *World) submit(p *trainer.Plan, workers int) (string, error) {
	request := &rpc.SubmitRequest{Config: p.Job.Encode(), Workers: uint32(workers), Fingerprint: p.Data.Fingerprint[:], Token: w.word() | 1}
	for range 1000 {
		for _, c := range w.all() {
			if s := c.alive(); s != nil {
				if reply, err := s.Submit(w.ctx, request); err == nil {
					return reply.Job, nil
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", errors.New("no coordinator took the job")
}

// read calls do with the state of the replica that has applied most.
func (w *World) read(do func(*fsm.State)) {
	var best *fsm.State
	rank := func(st *fsm.State) int {
		n := len(st.Past) << 20
		for _, j := range st.Jobs {
			n += 1 + len(j.Views) + len(j.Epochs) + len(j.Checkpoints)
			if j.Phase.Ended() {
				n += 1 << 20
			}
		}
		return n
	}
	for _, c := range w.all() {
		if s := c.alive(); s != nil {
			s.Log().Read(func(st *fsm.State) {
				if st.Newest() == nil || (best != nil && rank(st) <= rank(best)) {
					return
				}
				data, err := st.Encode()
				if err != nil {
					return
				}
				if copied, err := fsm.Decode(data); err == nil {
					best = copied
				}
			})
		}
	}
	if best == nil {
		best = &fsm.State{Jobs: []*fsm.Job{{ID: "lost", Phase: fsm.Failed, Error: "no replica holds the job"}}}
	}
	do(best)
}

// ended reports whether all the jobs have ended.
func (w *World) ended(jobs ...string) bool {
	ended := true
	w.read(func(st *fsm.State) {
		for _, job := range jobs {
			j := st.Job(job)
			ended = ended && (j != nil && j.Phase.Ended() || st.Ended(job) != nil)
		}
	})
	return ended
}

// change has a person change a job. That it has ended meanwhile is no matter.
func (w *World) change(job string, change rpc.Change, priority int) {
	request := &rpc.ChangeJobRequest{Job: job, Change: change, Priority: int32(priority)}
	for range 200 {
		for _, c := range w.all() {
			if s := c.alive(); s != nil && s.Log().Leading() {
				if _, err := s.ChangeJob(w.ctx, request); err == nil || w.ended(job) {
					return
				}
			}
		}
		if !sleep.For(w.ctx, 50*time.Millisecond) {
			return
		}
	}
}

func (w *World) await(patience time.Duration, jobs ...string) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if w.ended(jobs...) {
			return true
		}
	}
	return false
}

// where says how far things are, for a failure's message.
func (w *World) where() string {
	text := ""
	w.read(func(st *fsm.State) {
		jobs := st.Active()
		if len(jobs) == 0 {
			jobs = []*fsm.Job{st.Newest()}
		}
		for _, j := range jobs {
			text += fmt.Sprintf("job %s, phase %s, generation %d, running %v; ", j.ID, j.Phase, j.Generation, j.Running())
		}
		text += fmt.Sprintf("%d workers counted", st.Size)
	})
	w.judge.mu.Lock()
	defer w.judge.mu.Unlock()
	steps := map[string]int{}
	for job, states := range w.judge.states {
		steps[job] = len(states)
	}
	return fmt.Sprintf("%s, different steps finished by job: %v", text, steps)
}

// inflict carries out a fault. A fault that ends by itself does so in the background.
func (w *World) inflict(f fault, jobs []string) {
	k := w.workers[f.Who%len(w.workers)]
	coordinators := w.all()
	c := coordinators[f.Whom%len(coordinators)]
	later := func(do func()) { w.after(f.For, do) }
	switch f.Kind {
	case crashWorker:
		k.crash()
		later(k.start)
	case silenceWorker:
		later(w.separate([]string{k.id}, w.hostsBut(k.id), true))
	case oneWay:
		hosts := w.hostsBut("")
		from, to := hosts[f.Who%len(hosts)], hosts[f.Whom%len(hosts)]
		if from != to {
			later(w.separate([]string{from}, []string{to}, false))
		}
	case awayFromLeader:
		later(w.separate([]string{k.id}, []string{c.id}, true))
	case splitWorkers:
		a, b := w.halves(f.Who)
		later(w.separate(a, b, true))
	case cutPair:
		later(w.separate([]string{k.id}, []string{w.workers[f.Whom%len(w.workers)].id}, true))
	case splitCluster:
		a, b := w.halves(f.Who)
		for i := range coordinators {
			id := coordinators[(i+f.Whom)%len(coordinators)].id
			if i < len(coordinators)/2 {
				a = append(a, id)
			} else {
				b = append(b, id)
			}
		}
		later(w.separate(a, b, true))
	case crashCoordinator:
		c.crash()
		later(func() { w.restart(c) })
	case crashAll:
		for _, each := range coordinators {
			each.crash()
		}
		later(func() {
			for _, each := range coordinators {
				w.restart(each)
			}
		})
	case crashAllWorkers:
		for _, each := range w.workers {
			each.crash()
		}
		later(func() {
			for _, each := range w.workers {
				each.start()
			}
		})
	case slowWorker:
		later(k.slow(int64(1 + f.Whom%4)))
	case joinWorker:
		if len(w.workers) < w.plan.Job.Seats {
			w.addWorker().start()
		}
	case replaceCoordinator:
		w.replace(c)
	case pauseJob, raiseJob, saveJob, cancelJob:
		w.running.Go(func() { w.steer(f, jobs[f.Who%len(jobs)]) })
	}
}

// steer has a person pause a job for a while, give it another priority, have it save a checkpoint, or cancel it.
func (w *World) steer(f fault, job string) {
	switch f.Kind {
	case raiseJob:
		w.change(job, rpc.Change_CHANGE_PRIORITY, f.Whom%5)
		return
	case saveJob:
		w.change(job, rpc.Change_CHANGE_SAVE, 0)
		return
	case cancelJob:
		w.judge.cancels(job)
		w.change(job, rpc.Change_CHANGE_CANCEL, 0)
		return
	}
	w.change(job, rpc.Change_CHANGE_PAUSE, 0)
	sleep.For(w.ctx, f.For)
	w.change(job, rpc.Change_CHANGE_RESUME, 0)
}

// after does something after a while, if the world is still there then.
func (w *World) after(wait time.Duration, do func()) {
	w.running.Go(func() {
		if sleep.For(w.ctx, wait) {
			do()
		}
	})
}

func (w *World) restart(c *coordinator) {
	if err := c.start(); err != nil {
		w.judge.mu.Lock()
		defer w.judge.mu.Unlock()
		w.judge.complain("coordinator %s does not start on its disk: %v", c.id, err)
	}
}

func (w *World) hostsBut(but string) []string {
	var hosts []string
	for _, k := range w.workers {
		if k.id != but {
			hosts = append(hosts, k.id)
		}
	}
	for _, c := range w.all() {
		if c.id != but {
			hosts = append(hosts, c.id)
		}
	}
	return hosts
}

func (w *World) halves(at int) (a, b []string) {
	for i, k := range w.workers {
		if (i+at)%len(w.workers) < (len(w.workers)+1)/2 {
			a = append(a, k.id)
		} else {
			b = append(b, k.id)
		}
	}
	return a, b
}

// separate lets nothing through from a to b, nor back if both is set, and returns what heals that.
func (w *World) separate(a, b []string, both bool) (heal func()) {
	each := func(do func(from, to string), raftly func(from, to string)) {
		for _, x := range a {
			for _, y := range b {
				do(x, y)
				raftly(x+":7070", y+":7070")
				if both {
					do(y, x)
					raftly(y+":7070", x+":7070")
				}
			}
		}
	}
	each(w.net.block, w.raft.Cut)
	return func() { each(w.net.heal, w.raft.Heal) }
}

// mend ends all faults: the network is whole and everybody is up.
func (w *World) mend() {
	w.log.Info("MEND")
	w.net.healAll()
	for _, a := range w.all() {
		for _, b := range w.all() {
			if a != b {
				w.raft.Heal(a.address, b.address)
			}
		}
		w.restart(a)
	}
	for _, k := range w.workers {
		k.start()
	}
}
