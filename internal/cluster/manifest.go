package cluster

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/optim"
	"ringmaster/internal/rpc"
)

// describeCheckpoint makes the log's entry of a checkpoint whose shares are stored. Its manifest leaves out what the job holds
// already, so that the history is in the log only once.
func describeCheckpoint(j *fsm.Job, shares []*rpc.ShareFact) (fsm.Checkpoint, error) {
	first := shares[0]
	m := checkpoint.Manifest{Version: checkpoint.ManifestVersion, Job: j.Name, Incarnation: j.Incarnation, Step: first.Step, Generation: j.View.Generation,
		Seats: j.Seats, Sums: checkpoint.EpochSums{Loss: bitsFloat(first.SumLoss), Count: first.SumCount, Correct: first.SumCorrect, Weight: bitsFloat(first.SumWeight)}}
	m.Data = first.Data
	copy(m.Fingerprint[:], j.Fingerprint)
	copy(m.Digest[:], first.Digest)
	copy(m.StateDigest[:], first.StateDigest)
	m.Position = checkpoint.Position{Epoch: int(first.Epoch), InEpoch: first.StepInEpoch, Samples: first.Samples}
	stalled := 0.0
	for _, f := range shares {
		if f.StalledMs > stalled && !math.IsInf(f.StalledMs, 0) { // what is no number could not be in the log's entry
			stalled = f.StalledMs
		}
		c := checkpoint.File{Name: f.File.GetName(), Bytes: int64(f.File.GetBytes())}
		copy(c.SHA256[:], f.File.GetSha256())
		m.Files = append(m.Files, c)
	}
	c := fsm.Checkpoint{Job: j.ID, Generation: j.View.Generation, Step: m.Step, Directory: m.Folder(),
		Bytes: uint64(m.Bytes()), StalledMs: stalled, Digest: first.Digest, Epochs: len(j.Epochs)}
	var err error
	if c.Manifest, err = m.Encode(); err != nil {
		return fsm.Checkpoint{}, err
	}
	whole, err := wholeManifest(j, &c)
	if err != nil {
		return fsm.Checkpoint{}, err
	}
	text, err := whole.Encode()
	if err != nil {
		return fsm.Checkpoint{}, err
	}
	sum := sha256.Sum256(text)
	c.ManifestSum = sum[:]
	return c, nil
}

// wholeManifest is the manifest of a checkpoint of the log as it is written in its file. Entries of earlier versions contain it whole.
func wholeManifest(j *fsm.Job, c *fsm.Checkpoint) (*checkpoint.Manifest, error) {
	m, err := checkpoint.ParseManifest(c.Manifest)
	if err != nil {
		return nil, err
	}
	if c.Epochs < 0 || c.Epochs > len(j.Epochs) {
		return nil, fmt.Errorf("checkpoint at step %d was made after %d epochs, the log holds %d", c.Step, c.Epochs, len(j.Epochs))
	}
	if m.Config == "" {
		m.Config = string(j.Config)
	}
	for _, e := range j.Epochs[:c.Epochs] {
		m.Epochs = append(m.Epochs, checkpoint.EpochMetrics{Epoch: e.Epoch, Step: e.Step, TrainLoss: bitsFloat(e.TrainLoss),
			HasEval: e.HasEval, EvalLoss: bitsFloat(e.EvalLoss), EvalAccuracy: bitsFloat(e.EvalAccuracy), EvalCount: e.EvalCount, Metrics: e.Metrics})
	}
	return m, checkSum(m, c)
}

// checkSum refuses a manifest that is not the one whose sum the log has held since the checkpoint was committed: the job's configuration
// or its epochs have changed since.
func checkSum(m *checkpoint.Manifest, c *fsm.Checkpoint) error {
	if len(c.ManifestSum) == 0 {
		return nil
	}
	text, err := m.Encode()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], c.ManifestSum) {
		return fmt.Errorf("checkpoint at step %d: the configuration or the epochs that the log holds are not those that it was made with", c.Step)
	}
	return nil
}

// resumeFrom takes over from a checkpoint what the log holds of the job: its epochs and its generation. A job that the checkpoint was
// not made with is refused.
func resumeFrom(c *fsm.Submit, job *config.Job, manifest []byte) error {
	m, err := checkpoint.ParseManifest(manifest)
	if err != nil {
		return err
	}
	was, err := config.Decode([]byte(m.Config))
	if err != nil {
		return err
	}
	if changed := optim.Changes(was, job, m.Step); len(changed) > 0 {
		return fmt.Errorf("the checkpoint at step %d was made with another configuration: %s", m.Step, config.Describe(changed, config.Difference.String))
	}
	text, err := m.Encode() // as it is written in its file
	if err != nil {
		return err
	}
	digest, sum := m.Digest, sha256.Sum256(text)
	c.Origin = &fsm.Checkpoint{Generation: m.Generation, Step: m.Step,
		Directory: m.Folder(), Digest: digest[:], Bytes: uint64(m.Bytes()), Epochs: len(m.Epochs), ManifestSum: sum[:]}
	for _, e := range m.Epochs {
		c.Epochs = append(c.Epochs, fsm.Epoch{Epoch: e.Epoch, Step: e.Step, TrainLoss: math.Float64bits(e.TrainLoss),
			HasEval: e.HasEval, EvalLoss: math.Float64bits(e.EvalLoss), EvalAccuracy: math.Float64bits(e.EvalAccuracy), EvalCount: e.EvalCount, Metrics: e.Metrics})
	}
	m.Epochs = nil
	if c.Origin.Manifest, err = m.Encode(); err != nil {
		return err
	}
	if len(c.Fingerprint) == 0 {
		c.Fingerprint = m.Fingerprint[:]
	}
	return nil
}

func bitsFloat(bits uint64) float64 { return math.Float64frombits(bits) }
