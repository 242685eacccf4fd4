package cluster

import (
	"cmp"
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/rpc"
)

// ending is the state of a job that is to save a checkpoint and train no further, and what it waits for meanwhile.
func ending(j *fsm.Job, waits string) (state, message string) {
	switch {
	case j.Stop:
		return "stopping", waits
	case j.Hold:
		return "pausing", waits
	}
	return "pausing", cmp.Or(waits, j.Yields)
}

// Jobs lists the jobs in the order of their submission.
func (s *Server) Jobs(context.Context, *rpc.JobsRequest) (*rpc.JobsReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return nil, s.notLeader()
	}
	out := &rpc.JobsReply{}
	s.log.Read(func(st *fsm.State) {
		for i := range st.Past {
			out.Jobs = append(out.Jobs, s.jobLine(s.describeEnded(&st.Past[i])))
		}
		places := map[string]uint32{}
		for i, j := range st.Queue() {
			places[j.ID] = uint32(i + 1)
		}
		for _, j := range st.Jobs {
			line := s.jobLine(s.describeJob(j))
			line.Priority, line.Place, line.Saving = int32(j.Priority), places[j.ID], j.SaveFrom > 0
			if j.Phase == fsm.Waiting && !j.Stop {
				line.State = "queued"
			}
			if line.Place > 0 {
				line.Message = ""
			}
			out.Jobs = append(out.Jobs, line)
		}
	})
	return out, nil
}

func (s *Server) jobLine(j *rpc.JobStatus) *rpc.JobLine {
	line := &rpc.JobLine{Id: j.Job, Name: j.Name, State: j.State, Step: j.Step, Steps: j.StepsTotal, Seed: j.Seed, Checkpoints: j.Checkpoints,
		Digest: j.Digest, DigestStep: j.DigestStep,
		Message: cmp.Or(j.Error, j.Reason)}
	if !j.Ended {
		line.Message = j.Message
	}
	if j.State == string(fsm.Running) || j.State == "stopping" || j.State == "pausing" {
		line.Workers = j.Workers
	}
	if line.Steps == 0 {
		line.Steps = stepsOf(j)
	}
	return line
}

// stepsOf is the number of a job's steps where no worker has told it; 0 where it is not known.
func stepsOf(j *rpc.JobStatus) uint64 {
	if j.State == string(fsm.Done) {
		return j.Step
	}
	job, err := config.Decode(j.Config)
	if len(j.Config) == 0 || err != nil {
		return 0
	}
	return uint64(cmp.Or(job.Train.Steps, job.Train.Schedule.Horizon))
}

// saveNow asks for a checkpoint of a step that no worker has reported yet.
func (s *Server) saveNow(id string) *fsm.Save {
	s.mu.Lock()
	defer s.mu.Unlock()
	save := &fsm.Save{Job: id}
	if s.leader == nil {
		return save // the proposal will fail
	}
	s.log.Read(func(st *fsm.State) {
		if j := st.Job(id); j != nil && j.Running() {
			save.Generation, save.Step = j.Started.Generation, s.leader.Reached(j)
		}
	})
	return save
}

// ChangeJob pauses, resumes or cancels a job, gives it another priority, or has it save a checkpoint.
func (s *Server) ChangeJob(ctx context.Context, r *rpc.ChangeJobRequest) (*rpc.ChangeJobReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	var c fsm.Command
	switch r.Change {
	case rpc.Change_CHANGE_PAUSE:
		c.Pause = &fsm.Pause{Job: r.Job}
	case rpc.Change_CHANGE_RESUME:
		c.Resume = &fsm.Resume{Job: r.Job}
	case rpc.Change_CHANGE_CANCEL:
		c.Cancel = &fsm.Cancel{Job: r.Job}
	case rpc.Change_CHANGE_SAVE:
		c.Save = s.saveNow(r.Job)
	case rpc.Change_CHANGE_PRIORITY:
		c.Prioritize = &fsm.Prioritize{Job: r.Job, Priority: int(r.Priority)}
	default:
		return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("no change %d of a job is known here", r.Change))
	}
	if err := s.log.Propose(ctx, c); err != nil {
		return nil, s.refused("", err)
	}
	s.poke()
	return &rpc.ChangeJobReply{}, nil
}
