package trainer

import (
	"math"

	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// evalBatch is how many samples a sum of the evaluation covers: the losses of a batch are added up, then the batches' sums, in order. So
// it is part of the numerics contract. How many of them are computed at a time is not.
const evalBatch = 256

// epochEnd reports an epoch whose last step is done, evaluating first. Where the log holds the epoch already nothing is
// done; all members of a view agree on that, because they were told so with its start.
func (t *Trainer) epochEnd(r *Run) error {
	if t.step == 0 || t.step%uint64(t.PerPass) != 0 {
		return nil
	}
	epoch := int(t.step / uint64(t.PerPass))
	if epoch <= r.Evaluated {
		return nil
	}
	e := EpochEnd{Epoch: epoch, Step: t.step, TrainLoss: t.TrainLoss()}
	var err error
	if e.Eval, err = t.Evaluate(r.Ring, r.Arc); err != nil {
		return err
	}
	r.Evaluated = epoch
	if r.OnEpoch != nil {
		r.OnEpoch(e)
	}
	t.judge(r, e)
	return nil
}

// TrainLoss is the mean training loss of the epoch under way, or NaN before its first step.
func (t *Trainer) TrainLoss() float64 {
	if t.sums.Count == 0 {
		return math.NaN()
	}
	return t.sums.Loss / divisor(t.sums.Weight, t.sums.Count)
}

// Evaluate runs the model over the evaluation set, each seat over its interval, and folds the seats' sums in order.
// It returns nil where the job has no evaluation set. It changes nothing in the state.
func (t *Trainer) Evaluate(ring AllReduce, arc plan.Arc) (*Evaluation, error) {
	set := t.Data.Eval
	if set == nil || set.Len() == 0 {
		return nil, nil
	}
	t.Activity.begin(t.step, Evaluating)
	defer t.Activity.Turn(Idle)
	size := evaluationLen(t.Metrics, t.Model, set, t.Job.Seats)
	records := t.evaluationRecords(arc.Len(), size)
	if err := t.evaluateSeats(arc, records); err != nil {
		return nil, &DataError{err}
	}
	ring.Contribute(KindEvaluation, records)
	t.Activity.Turn(Waiting)
	gathered, err := ring.Collect(KindEvaluation)
	if err != nil {
		return nil, err
	}
	return t.evaluation(gathered, size)
}

// evaluationRecords are those of the local seats, of the size.
func (t *Trainer) evaluationRecords(seats, size int) [][]byte {
	if len(t.evaluated) != seats || len(t.evaluated[0]) != size {
		t.evaluated = makeRecords(seats, size)
	}
	return t.evaluated
}

// evaluateSeats runs the model over the local seats' parts of the evaluation set and writes their records. What comes next is read meanwhile.
func (t *Trainer) evaluateSeats(arc plan.Arc, records [][]byte) error {
	if t.piece == 0 {
		t.piece = t.EvaluationPiece()
	}
	if t.average != nil && t.frozen() {
		copy(t.scored, t.params)
		t.Model.Scatter(t.scored, t.average)
	}
	from := t.feedEvaluation(arc, t.piece)
	defer from.close()
	for i := range arc.Len() {
		if err := t.evaluateSeat(from, arc.Begin+i, records[i]); err != nil {
			return err
		}
	}
	return nil
}

// evaluateSeat runs the model over a seat's part of the evaluation set and writes its record.
func (t *Trainer) evaluateSeat(from *feed, seat int, record []byte) error {
	shard := plan.Interval{Begin: 0, End: t.Data.Eval.Len()}.Part(seat, t.Job.Seats)
	if t.Metrics != nil && t.scorer == nil {
		t.scorer = newScorer(t.Metrics, t.Model, t.Data.Schema)
		t.replica.TellOutputs(t.scorer.add)
	}
	if t.scorer != nil {
		t.scorer.part.Reset()
	}
	sum := model.Result{Finite: true}
	for at := shard.Begin; at < shard.End; at += evalBatch {
		part, err := t.evaluateBatch(from, min(evalBatch, shard.End-at))
		if err != nil {
			return err
		}
		sum.Loss += part.Loss
		sum.Weight += part.Weight
		sum.Count += part.Count
		sum.Correct += part.Correct
	}
	putRecord(record, sum, 0)
	if t.scorer != nil {
		t.scorer.part.AddLoss(sum.Loss, divisor(sum.Weight, sum.Count))
		sums := t.scorer.part.Append(record[recordLen:recordLen])
		clear(record[recordLen+len(sums):])
	}
	return nil
}

// evaluation folds the records of all seats, each of the size, in their order.
func (t *Trainer) evaluation(records []byte, size int) (*Evaluation, error) {
	tallies := records
	if size != recordLen {
		tallies = make([]byte, 0, len(records)/size*recordLen)
		for at := 0; at+size <= len(records); at += size {
			tallies = append(tallies, records[at:at+recordLen]...)
		}
	}
	all := fold(tallies)
	e := &Evaluation{Loss: all.loss / orOne(all.divisor()), Accuracy: math.NaN(), Count: all.count}
	if t.Model.Classifies() {
		e.Accuracy = float64(all.correct) / float64(max(all.count, 1))
	}
	if t.Metrics == nil {
		return e, nil
	}
	sums, err := foldMetrics(t.Metrics, records, size)
	if err != nil {
		return nil, err
	}
	t.metricSums = sums
	figures := t.Metrics.Figures(sums)
	for _, f := range figures {
		if f.Name == "accuracy" {
			e.Accuracy = f.Value
		}
	}
	e.Metrics = metric.Format(figures)
	return e, nil
}

// evaluateBatch is the sums over the next samples of the feed, computed in its pieces, which do not show in them.
func (t *Trainer) evaluateBatch(from *feed, samples int) (sum model.Result, err error) {
	for samples > 0 {
		t.Activity.Turn(Reading)
		batch, err := from.next()
		if err != nil {
			return sum, err
		}
		t.Activity.Turn(Evaluating)
		if t.scorer != nil {
			t.scorer.batch = batch
		}
		sum = t.replica.Evaluate(t.scored, t.stats, batch, sum)
		samples -= batch.N
		from.done()
	}
	return sum, nil
}

// clip is the factor by which the mean gradient is scaled so that its global norm is at most train.clip_norm.
func (t *Trainer) clip(grad []float32) float32 {
	limit := t.Job.Train.ClipNorm
	if limit <= 0 {
		return 1
	}
	return optim.ClipScale(t.squares(grad), t.divisor, limit)
}

// squares is the sum of the squares of the gradient of what is trained, in float64 for each chunk of each bucket, folded in that order.
func (t *Trainer) squares(grad []float32) float64 {
	total := 0.0
	for _, b := range t.Buckets {
		for c := range t.Job.Seats {
			total = t.addSquares(total, grad, b.Chunk(c, t.Job.Seats))
		}
	}
	return total
}

// addSquares adds the squares of a chunk, those of neighbouring parameters together.
func (t *Trainer) addSquares(total float64, grad []float32, chunk plan.Interval) float64 {
	for _, in := range t.trained {
		if begin, end := max(in.Begin, chunk.Begin), min(in.End, chunk.End); begin < end {
			total += kernel.SumSquares(grad[begin:end])
		}
	}
	return total
}
