package cluster

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Bounds on what a report may hold. A message of legal size would otherwise be kept for as long as its line is open.
const (
	maxReported = 1 << 14 // entries of each of its lists
	maxAddress  = 255     // bytes of a host, and of a host:port
	maxPath     = 4096    // bytes of a socket's path
)

// checkFirst checks the report that opens a line. The certificate's id has been compared with the report's (see daemon).
func checkFirst(r *rpc.Report) error {
	if err := certs.CheckID(r.Worker); err != nil || r.Incarnation == 0 {
		return status.Error(codes.InvalidArgument, "a worker's report names its id and incarnation")
	}
	return checkReport(r)
}

// checkNext checks that a report comes from whoever opened the line.
func checkNext(first, r *rpc.Report) error {
	if r.Worker != first.Worker || r.Incarnation != first.Incarnation {
		return status.Errorf(codes.PermissionDenied, "the line is worker %s's, not %.64q's", first.Worker, r.Worker)
	}
	return checkReport(r)
}

// checkReport checks the sizes of a report's parts.
func checkReport(r *rpc.Report) error {
	longest := max(len(r.Files), len(r.LostPeers), len(r.Epochs), len(r.Shares), len(r.Ways))
	if longest > maxReported || len(r.Address) > maxAddress || len(r.Host) > maxAddress || len(r.Machine) > maxAddress || len(r.Socket) > maxPath {
		return status.Error(codes.InvalidArgument, "a part of the worker's report is too long")
	}
	longFigures := func(e *rpc.EpochFact) bool { return len(e.Metrics) > metric.MaxLine }
	if len(r.Outcome.GetReason()) > metric.MaxLine {
		return status.Error(codes.InvalidArgument, "the reason of the job's end in the worker's report is too long")
	}
	if slices.ContainsFunc(r.Epochs, longFigures) || len(r.Outcome.GetMetrics()) > metric.MaxLine {
		return status.Error(codes.InvalidArgument, "the metrics in the worker's report are too long")
	}
	return nil
}

// maxShare is how many bytes a share may have before a checkpoint of the job has told how many they are: parameters and two moments
// of the largest model.
const maxShare = 32 << 30

// checkUpload checks that a worker may store a file: it has the seat whose share that is, in the view that trains or the one before,
// and the share is no longer than all of them were before.
func (s *Server) checkUpload(worker string, f *rpc.FilePart) error {
	name, ok := checkpoint.ParseName(f.Directory)
	if !ok {
		return status.Error(codes.InvalidArgument, "store checkpoint file: it names no checkpoint's folder")
	}
	var known, seated bool
	var many error // checkpoints that are not finished
	bound := uint64(maxShare)
	s.log.Read(func(st *fsm.State) {
		for _, j := range st.Jobs {
			seat, isShare := checkpoint.SeatOf(f.Name, j.Seats)
			for _, v := range []*fsm.View{j.View, j.StartedView} {
				if v == nil || v.Generation != name.Generation || j.Incarnation != name.Job {
					continue
				}
				known = true
				seated = seated || isShare && slices.ContainsFunc(v.Members, func(m plan.Member) bool { return m.Worker == worker && m.Arc.Contains(seat) })
				if len(j.Checkpoints) > 0 {
					bound = j.Checkpoints[len(j.Checkpoints)-1].Bytes
				}
			}
		}
		if seated && f.Bytes <= bound {
			many = s.begun.note(st, worker, name)
		}
	})
	switch {
	case !known: // this replica may be behind: to be tried again
		return status.Errorf(codes.Unavailable, "store checkpoint file: the job is not in generation %d here", name.Generation)
	case !seated:
		return status.Errorf(codes.PermissionDenied, "store checkpoint file: worker %s has no seat in generation %d whose share %.64q is", worker, name.Generation, f.Name)
	case f.Bytes > bound:
		return status.Errorf(codes.InvalidArgument, "store checkpoint file: %d bytes are more than the %d of a whole checkpoint of the job", f.Bytes, bound)
	case many != nil:
		return status.Errorf(codes.ResourceExhausted, "store checkpoint file: %v", many)
	}
	return nil
}
