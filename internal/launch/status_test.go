package launch

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"ringmaster/internal/rpc"
)

// A status is of one job, with the seats of its workers alone; it names the jobs beside it, and for which job each worker is.
func TestStatusOfJobsSideBySide(t *testing.T) {
	worker := func(id, job string) *rpc.WorkerStatus {
		return &rpc.WorkerStatus{Id: id, Job: job, State: "training", Seated: true, SeatEnd: 4}
	}
	s := Describe(&rpc.ClusterStatus{Job: &rpc.JobStatus{Job: "a-2", Name: "a", State: "running", Workers: 1},
		Workers: []*rpc.WorkerStatus{worker("w1", "a-2"), worker("w2", "b"), worker("w3", "")},
		Others:  []*rpc.JobLine{{Id: "b", Name: "b", State: "running", Step: 5, Steps: 20, Workers: 1, Message: "waits"}}}, "")
	if len(s.Others) != 1 || s.Others[0].ID != "b" || s.Workers[1].Job != "b" {
		t.Errorf("%+v", s)
	}
	if s.Workers[0].Arc == nil || s.Workers[1].Arc != nil || s.Workers[2].Arc == nil || s.seated() != 2 { // the last one is told by an older coordinator
		t.Errorf("seats: %+v", s.Workers)
	}
	table := s.Table()
	for _, want := range []string{"\nb  running  step 5/20  1 worker  waits\n", ", for job b,", "seats [0,4)"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing:\n%s", want, table)
		}
	}
	if alone := Describe(&rpc.ClusterStatus{Job: &rpc.JobStatus{Job: "a", Name: "a"}, Workers: []*rpc.WorkerStatus{{Id: "w1", Job: "a"}}}, ""); strings.Contains(alone.Table(), "for job") || alone.Others != nil {
		t.Errorf("one alone:\n%s", alone.Table())
	}
}

// Figures that are not finite, whoever reports them, leave a status that JSON can be made of.
func TestStatusOfFiguresThatAreNotFinite(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s := Describe(&rpc.ClusterStatus{Job: &rpc.JobStatus{Job: "a", Name: "a", State: "running", HasTrainLoss: true, TrainLoss: x, SamplesPerS: x},
			Workers: []*rpc.WorkerStatus{{Id: "w1", Job: "a", Seated: true, SeatEnd: 1, SeatMs: x}, {Id: "w2", SeatMs: 5}}}, "")
		text, err := json.Marshal(s)
		if err != nil {
			t.Errorf("%v: %v", x, err)
		}
		if strings.Count(string(text), `"seat_ms":5`) != 1 || strings.Count(string(text), `"seat_ms"`) != 1 || strings.Contains(s.Table(), "ms each") {
			t.Errorf("%v: %s\n%s", x, text, s.Table())
		}
	}
}
