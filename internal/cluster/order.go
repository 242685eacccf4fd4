package cluster

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// sendAll gives every attached worker its order.
func (s *Server) sendAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return
	}
	now := time.Now()
	s.log.Read(func(st *fsm.State) {
		orders, of := s.ordersOf(st, now)
		for id, o := range orders {
			if old := s.orders[id]; old != nil && proto.Equal(old, o) {
				orders[id] = old
			}
		}
		s.orders = orders
		for id, l := range s.lines { // compared as pointers: an order names all workers of its job
			if o := orders[idOf(of[id])]; !l.refused && l.order != o {
				l.order = o
				l.notify()
			}
		}
	})
}

func idOf(j *fsm.Job) string {
	if j == nil {
		return ""
	}
	return j.ID
}

// ordersOf is what the state wants of the workers of each job whose turn it is, by its id, and whose worker each is. Where it is no job's turn,
// all get the order of the empty id.
func (s *Server) ordersOf(st *fsm.State, now time.Time) (map[string]*rpc.Order, map[plan.Incarnation]*fsm.Job) {
	orders := map[string]*rpc.Order{}
	jobs, of := s.leader.Orders(st, now)
	for _, j := range jobs {
		orders[j.Job.ID] = s.orderOf(st, &j)
	}
	if len(jobs) == 0 {
		last := st.Newest()
		if last != nil && !last.Phase.Ended() {
			last = nil
		}
		orders[""] = s.orderOf(st, &decide.Order{Job: last})
	}
	return orders, of
}

// orderOf is what the state wants of a job's workers.
func (s *Server) orderOf(st *fsm.State, about *decide.Order) *rpc.Order {
	o := &rpc.Order{Cluster: uint64(st.Cluster), Coordinators: s.coordinators(), Trace: s.traces.order()}
	j := about.Job
	if j == nil {
		return o
	}
	o.Job = &rpc.JobSpec{Id: j.ID, Incarnation: uint64(j.Incarnation), Config: j.Config, Fingerprint: j.Fingerprint, Parked: j.Parked}
	for _, f := range j.Files {
		o.Job.Files = append(o.Job.Files, &rpc.DataFile{Name: f.Name, Sha256: f.SHA256})
	}
	o.Stop, o.Ended, o.Failed = j.Halts(), j.Phase.Ended(), j.Error
	o.SaveFrom = j.SaveFrom
	o.EpochsRecorded = uint32(len(j.Epochs))
	if n := len(j.Checkpoints); n > 0 {
		c := j.Checkpoints[n-1]
		o.HasCheckpoint, o.CheckpointStep, o.CheckpointGeneration = true, c.Step, uint64(c.Generation)
	}
	if o.Restore = about.Restore; o.Restore {
		o.Job.Manifest = j.Newest().Manifest
	}
	if j.View == nil {
		return o
	}
	o.View = viewMessage(j.View)
	o.Candidates = about.Candidates
	if j.Running() {
		o.Start = &rpc.Start{Generation: uint64(j.Started.Generation), Step: j.Started.Step, StateDigest: j.Started.StateDigest,
			Halt: j.Started.Halt, Epochs: uint32(j.Started.Epochs),
			EarlyStop: judgedMessage(j.Judged(j.EarlyStop, j.Started.Epochs)), KeepBest: judgedMessage(j.Judged(j.KeepBest, j.Started.Epochs))}
		for _, m := range o.View.Members {
			for _, source := range j.Started.Sources {
				if m.Worker == source {
					o.Start.Sources = append(o.Start.Sources, m)
				}
			}
		}
	}
	return o
}

func judgedMessage(j *metric.Judged) *rpc.Judged {
	if j == nil {
		return nil
	}
	return &rpc.Judged{Epoch: uint32(j.Epoch), Best: math.Float64bits(j.Best), Waited: uint32(j.Waited), Stop: j.Stop}
}

func viewMessage(v *fsm.View) *rpc.View {
	out := &rpc.View{Generation: uint64(v.Generation), Seats: uint32(v.Seats), Orderly: v.Orderly, Follows: uint64(v.Previous()), Cause: v.Cause, Reason: v.Reason}
	for _, m := range v.Members {
		out.Members = append(out.Members, &rpc.Member{Worker: m.Worker, Incarnation: uint64(m.Incarnation), Address: m.Address,
			Socket: m.Socket, Machine: m.Machine, Host: m.Host, SeatBegin: uint32(m.Arc.Begin), SeatEnd: uint32(m.Arc.End)})
	}
	return out
}

func (s *Server) coordinators() []*rpc.CoordinatorInfo {
	leader, _ := s.log.Leader()
	var out []*rpc.CoordinatorInfo
	for _, r := range s.log.Replicas() {
		c := &rpc.CoordinatorInfo{Id: r.ID, Address: r.Address, Leader: r.ID == leader, Joining: !r.Votes}
		if r.ID == s.cfg.ID {
			c.Pid, c.Machine = int64(s.cfg.PID), s.cfg.Machine
		}
		out = append(out, c)
	}
	return out
}
