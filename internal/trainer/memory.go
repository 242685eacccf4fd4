package trainer

import (
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
)

// Memory is what a job takes on each of its workers in bytes, beside its data. It is known before any of it is allocated.
type Memory struct {
	State int64 // parameters, running statistics, the optimizer's vectors and the average
	Work  int64 // samples and activations: of one seat's step, or of an evaluation where that takes more
	Seat  int64 // the gradient of one seat, and its batch that is read ahead
	Step  int64 // of Work: samples and activations of one seat's step
}

// Job is what the job takes on a worker beside its seats' gradients. The state counts twice: it is copied while a checkpoint is on
// its way or a peer's state comes in.
func (m Memory) Job() int64 { return 2*m.State + m.Work }

// Memory is what the job will take.
func (p *Plan) Memory() Memory {
	params, trained, stats := int64(p.Model.Len()), int64(p.Model.GradientLen()), int64(p.Model.StatsLen())
	step := p.Model.TrainingBytes(p.largestShard())
	m := Memory{Step: step, State: 4 * (params + trained*int64(len(optim.Names(&p.Job.Train))) + stats + int64(checkpoint.HistoryLen(p.Job.Train.GradientNoise))), Work: step, Seat: 4 * trained}
	if set := p.Data.Eval; set != nil {
		shard := plan.Interval{Begin: 0, End: set.Len()}.Part(0, p.Job.Seats).Len()
		piece := p.EvaluationPiece()
		m.Work = max(m.Work, p.Model.EvaluationBytes(min(shard, piece))+p.aheadOfEvaluation(min(shard, piece)))
		if p.Metrics != nil { // the seats' records as they are made, gathered, and read
			m.Work += 4 * int64(p.Job.Seats*evaluationLen(p.Metrics, p.Model, set, p.Job.Seats))
		}
	}
	if n := p.Job.Train.MicroBatches(); n > 1 { // a micro-batch's gradient, and the records of all their statistics as they are made and gathered
		m.Work += 4 * trained
		if stats > 0 {
			m.Work += 2 * int64(p.Job.Seats*n*statisticsLen(int(stats)))
		}
	}
	if p.Job.Train.EMA > 0 && p.frozen() { // what is evaluated, the average with the parameters that stay
		m.Work += 4 * params
	}
	m.Work += p.feedBytes(p.largestShard())
	m.Seat += p.feedBytes(p.largestShard())
	return m
}

// evalRoom is the memory in bytes that an evaluation may take whatever training takes.
const evalRoom = 64 << 20

// EvaluationPiece is how many samples an evaluation or a prediction computes at a time: a whole batch, or as many as take no more memory than the
// training of this job.
func (p *Plan) EvaluationPiece() int {
	room := max(p.Model.TrainingBytes(p.largestShard()), evalRoom)
	n := evalBatch
	for n > 1 && p.Model.EvaluationBytes(n) > room {
		n /= 2
	}
	return n
}

// largestShard is the most samples that a seat computes at once: the first micro-batch of the first seat.
func (p *Plan) largestShard() int {
	shard := plan.Shard(p.Data.Train.Len(), p.Job.Seats, p.Job.Train.PerSeat(), 0, 0)
	return shard.Part(0, p.Job.Train.MicroBatches()).Len()
}
