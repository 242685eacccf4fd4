package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// keepInterval is how often a coordinator compares its store with the log when nothing wakes it.
const keepInterval = 200 * time.Millisecond

// Fetcher reads a checkpoint file from another coordinator.
type Fetcher func(ctx context.Context, address, directory, name string, w io.Writer) error

// keepCheckpoints brings this replica's store to what the log says: every committed checkpoint stands whole, with its
// manifest, and what no job can need any more is gone. It derives all that from the state, so a crash at any point is
// mended at the next turn.
func (s *Server) keepCheckpoints(ctx context.Context) {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	said := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keep:
		case <-tick.C:
		}
		applied := s.log.Applied()
		var all *claimedFolders
		s.log.Read(func(st *fsm.State) { all = foldersClaimed(st) })
		if s.keepWhole(ctx, all.whole, said) {
			s.wholeAt.Store(applied)
		}
		s.sweep(applied, all)
	}
}

// keepWhole completes the checkpoints of the log; false where something is missing that another replica may have. said is what was
// said of each folder last.
func (s *Server) keepWhole(ctx context.Context, want []fsm.Checkpoint, said map[string]string) bool {
	whole := true
	for _, c := range want {
		err := s.keepOne(ctx, c)
		whole = whole && (err == nil || errors.Is(err, errNowhere))
		switch {
		case err != nil && ctx.Err() == nil && said[c.Directory] != err.Error():
			said[c.Directory] = err.Error()
			s.cfg.Log.Warn("checkpoint is not whole here yet", "checkpoint", c.Directory, "reason", err)
		case err == nil:
			delete(said, c.Directory)
		}
	}
	return whole
}

func (s *Server) keepOne(ctx context.Context, c fsm.Checkpoint) error {
	if s.kept[c.Directory] {
		return nil
	}
	m, err := checkpoint.ParseManifest(c.Manifest)
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		if has, err := s.store.HasFile(c.Directory, f); err != nil {
			return err
		} else if has {
			continue
		}
		if err := s.fetchFile(ctx, c.Directory, f); err != nil {
			return err
		}
	}
	if err := s.store.Commit(m); err != nil {
		return err
	}
	s.kept[c.Directory] = true
	return nil
}

// errNowhere means that all other replicas answer and none has a file.
var errNowhere = errors.New("no coordinator has it")

// fetchFile takes a file that this replica lacks from one that has it.
func (s *Server) fetchFile(ctx context.Context, directory string, f checkpoint.File) error {
	failures, nowhere := []error{fmt.Errorf("file %s is missing", f.Name)}, true
	for _, r := range s.log.Replicas() {
		if r.ID == s.cfg.ID {
			continue
		}
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(s.cfg.Fetch(ctx, r.Address, directory, f.Name, pw)) }()
		err := s.store.PutFile(directory, f.Name, pr, f.Bytes, f.SHA256)
		pr.CloseWithError(err)
		if err == nil {
			return nil
		}
		nowhere = nowhere && status.Code(err) == codes.NotFound
		failures = append(failures, fmt.Errorf("from coordinator %s: %w", r.ID, err))
	}
	if nowhere {
		failures = append(failures, errNowhere)
	}
	return errors.Join(failures...)
}

// StoreFile puts a checkpoint file into this replica's store. first names it with its size and SHA-256; body is its bytes.
func (s *Server) StoreFile(first *rpc.FilePart, body io.Reader) error {
	var sum checkpoint.Hash
	if len(first.Sha256) != len(sum) {
		return fmt.Errorf("file %s comes without its SHA-256", first.Name)
	}
	copy(sum[:], first.Sha256)
	s.sweptAt.Store(0) // what is stored now may belong to nobody any more
	return s.store.PutFile(first.Directory, first.Name, body, int64(first.Bytes), sum)
}

// GetFile reads a checkpoint file from this replica's store.
func (s *Server) GetFile(r *rpc.GetFileRequest, stream rpc.Coordinator_GetFileServer) error {
	return s.LoadFile(r.Directory, r.Name, func(part []byte) error { return stream.Send(&rpc.FilePart{Data: part}) })
}

// LoadFile calls send with the bytes of a checkpoint file of this replica's store, part after part.
func (s *Server) LoadFile(directory, name string, send func(part []byte) error) error {
	file, _, err := s.store.OpenFile(directory, name)
	if err != nil {
		return status.Errorf(codes.NotFound, "%v", err)
	}
	defer file.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(file, buf)
		if n > 0 {
			if err := send(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return status.Errorf(codes.DataLoss, "read %s: %v", name, err)
		}
	}
}

// describeCheckpoint makes the manifest of a checkpoint whose shares are stored.
func (s *Server) describeCheckpoint(j *fsm.Job, shares []*rpc.ShareFact) (fsm.Checkpoint, error) {
	first := shares[0]
	m := checkpoint.Manifest{Version: checkpoint.ManifestVersion, Job: j.Name, Incarnation: j.Incarnation, Step: first.Step, Generation: j.View.Generation,
		Seats: j.Seats, Config: string(j.Config), Sums: checkpoint.EpochSums{Loss: bitsFloat(first.SumLoss), Count: first.SumCount, Correct: first.SumCorrect}}
	m.Data = first.Data
	copy(m.Fingerprint[:], j.Fingerprint)
	copy(m.Digest[:], first.Digest)
	copy(m.StateDigest[:], first.StateDigest)
	m.Position = checkpoint.Position{Epoch: int(first.Epoch), InEpoch: first.StepInEpoch, Samples: first.Samples}
	stalled := 0.0
	for _, f := range shares {
		stalled = max(stalled, f.StalledMs)
		c := checkpoint.File{Name: f.File.GetName(), Bytes: int64(f.File.GetBytes())}
		copy(c.SHA256[:], f.File.GetSha256())
		m.Files = append(m.Files, c)
	}
	for _, e := range j.Epochs {
		m.Epochs = append(m.Epochs, checkpoint.EpochMetrics{Epoch: e.Epoch, Step: e.Step, TrainLoss: bitsFloat(e.TrainLoss),
			HasEval: e.HasEval, EvalLoss: bitsFloat(e.EvalLoss), EvalAccuracy: bitsFloat(e.EvalAccuracy), EvalCount: e.EvalCount})
	}
	if err := m.Validate(); err != nil {
		return fsm.Checkpoint{}, err
	}
	text, err := m.Encode()
	if err != nil {
		return fsm.Checkpoint{}, err
	}
	return fsm.Checkpoint{Job: j.ID, Generation: j.View.Generation, Step: m.Step, Directory: m.Folder(),
		Bytes: uint64(m.Bytes()), StalledMs: stalled, Digest: first.Digest, Manifest: text}, nil
}

func bitsFloat(bits uint64) float64 { return math.Float64frombits(bits) }
