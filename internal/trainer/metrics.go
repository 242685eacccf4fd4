package trainer

import (
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor/kernel"
)

// gatherRoom is how many bytes the seats' records of an evaluation may have altogether.
const gatherRoom = 64 << 20

// BuildMetrics is the set of metrics that the job asks for; nil where it asks for none. Errors point at the key in the job file.
func BuildMetrics(job *config.Job, m *model.Model, d *dataset.Data) (*metric.Set, error) {
	set := d.Eval
	if err := checkTold(job, set); err != nil {
		return nil, err
	}
	if len(job.Train.Metrics) == 0 {
		return nil, nil
	}
	task := m.Loss().Task()
	if task.Kind == metric.Classes {
		task.Bytes = d.TokenBytes(task.Outputs)
	}
	metrics, err := metric.New(job.Train.Metrics, task)
	if err != nil {
		return nil, job.Errorf("train.metrics", "train.metrics: %v", err)
	}
	if set == nil || set.Len() == 0 {
		return nil, job.Errorf("train.metrics", "train.metrics are computed over an evaluation set, which the data do not have; leave them out")
	}
	targets := set.Len() * m.Loss().Rows()
	if size := job.Seats * evaluationLen(metrics, m, set, job.Seats); size > gatherRoom {
		drop := "precision, recall and f1"
		if metrics.Ranks() {
			drop = "auc"
		}
		return nil, job.Errorf("train.metrics", "train.metrics take %d MiB over %s and %s, the limit is %d MiB: leave out %s",
			size>>20, plural.Of(task.Outputs, "output"), plural.Of(targets, "target"), gatherRoom>>20, drop)
	}
	return metrics, nil
}

// checkTold refuses rules over figures of an evaluation that there is not.
func checkTold(job *config.Job, set dataset.Set) error {
	if set != nil && set.Len() > 0 {
		return nil
	}
	for _, of := range []struct{ key, name string }{{"train.early_stop.metric", job.Train.EarlyStop.Metric}, {"checkpoint.keep_best", job.Checkpoint.KeepBest}, {"train.show", job.Train.Show}} {
		if of.name != "" && of.name != "train_loss" {
			return job.Errorf(of.key, "%s: %s is of an evaluation, but the data have no evaluation set; name data that have one, or take train_loss", of.key, of.name)
		}
	}
	return nil
}

// evaluationLen is the size of a seat's record of an evaluation: a tally's, and behind it the sums of the metrics.
func evaluationLen(metrics *metric.Set, m *model.Model, set dataset.Set, seats int) int {
	if metrics == nil {
		return recordLen
	}
	largest := plan.Interval{Begin: 0, End: set.Len()}.Part(0, seats).Len()
	return recordLen + metrics.Size(largest*m.Loss().Rows())
}

// scorer fills the sums of the metrics over a seat's part of the evaluation set.
type scorer struct {
	set            *metric.Set
	part           *metric.Sums
	target, weight int // columns of the batch; weight -1: there is none
	width          int // of a row of output
	each           int // rows of a sample
	batch          *dataset.Batch
	probabilities  []float32
	labels         []float32
}

func newScorer(set *metric.Set, m *model.Model, schema dataset.Schema) *scorer {
	l := m.Loss()
	s := &scorer{set: set, part: set.Sums(), target: schema.Find(l.Target().Name), weight: -1, width: l.Width(), each: l.Rows()}
	if l.Weight() != "" {
		s.weight = schema.Find(l.Weight())
	}
	return s
}

// add adds rows of output of the batch, those from the row first on.
func (s *scorer) add(first int, outputs []float32) {
	rows := len(outputs) / s.width
	task, target := s.set.Task(), &s.batch.Columns[s.target]
	if task.Kind == metric.Classes && s.set.Ranks() {
		s.probabilities = append(s.probabilities[:0], outputs...)
		kernel.Softmax(s.probabilities, outputs, rows, s.width)
	}
	labels := target.Floats
	if task.Kind == metric.Labels && labels == nil {
		s.labels = s.labels[:0]
		for _, v := range target.Ints {
			s.labels = append(s.labels, float32(v))
		}
		labels = s.labels
	}
	for k := range rows {
		row, from, to := first+k, k*s.width, (k+1)*s.width
		w := float32(1)
		if s.weight >= 0 {
			weights := s.batch.Columns[s.weight].Floats // one a sample, or one a row
			w = weights[row*len(weights)/(s.batch.N*s.each)]
		}
		switch task.Kind {
		case metric.Classes:
			var probabilities []float32
			if s.set.Ranks() {
				probabilities = s.probabilities[from:to]
			}
			s.part.AddClass(outputs[from:to], probabilities, target.Ints[row], w)
		case metric.Labels:
			s.part.AddLabels(outputs[from:to], labels[row*s.width:][:s.width], w)
		default:
			s.part.AddValues(outputs[from:to], labels[row*s.width:][:s.width], w)
		}
	}
}

// foldMetrics merges the sums behind the seats' tallies in seat order.
func foldMetrics(set *metric.Set, records []byte, size int) (*metric.Sums, error) {
	all, part := set.Sums(), set.Sums()
	for ; len(records) >= size; records = records[size:] {
		if err := part.Decode(records[recordLen:size]); err != nil {
			return nil, err
		}
		all.Merge(part)
	}
	return all, nil
}
