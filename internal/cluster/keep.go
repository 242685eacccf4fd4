package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// keepInterval is how often a coordinator compares its store with the log when nothing wakes it.
const keepInterval = 200 * time.Millisecond

// Fetcher reads a checkpoint file from another coordinator.
type Fetcher func(ctx context.Context, address, directory, name string, w io.Writer) error

// keepCheckpoints makes this replica's store match the log: every committed checkpoint is complete, with its
// manifest, and whatever no job can need any more is deleted. It derives all that from the state, so the next pass
// repairs the effects of a crash at any point.
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
		s.log.Read(func(st *fsm.State) { all = foldersClaimed(st, s.kept) })
		if s.keepWhole(ctx, all.whole, said) {
			s.wholeAt.Store(max(applied, 1))
		}
		s.sweep(applied, all)
	}
}

// keepWhole completes the log's checkpoints; false if something is missing that another replica may have. said is the last
// message logged about each folder.
func (s *Server) keepWhole(ctx context.Context, want []claimed, said map[string]string) bool {
	whole := true
	var refused []*rpc.Unsaved
	for _, c := range want {
		err := s.keepOne(ctx, c)
		if words, ok := diskFault(err); ok {
			refused = append(refused, &rpc.Unsaved{Place: s.cfg.ID, What: fmt.Sprintf("the checkpoint at step %d", c.Step), Step: c.Step, Reason: words,
				Blocking: len(s.log.Replicas()) == 1})
		}
		whole = whole && (err == nil || errors.Is(err, errNowhere))
		switch {
		case err != nil && ctx.Err() == nil && said[c.Directory] != err.Error():
			said[c.Directory] = err.Error()
			s.cfg.Log.Warn("checkpoint is not whole here yet", "checkpoint", c.Directory, "reason", err)
		case err == nil:
			delete(said, c.Directory)
		}
	}
	s.unsaved.replace("checkpoint ", refused, time.Now())
	return whole
}

func (s *Server) keepOne(ctx context.Context, c claimed) error {
	if s.kept[c.Directory] {
		return nil
	}
	m, err := c.manifest, c.unreadable
	if m == nil && err == nil {
		m, err = s.fetchManifest(ctx, c)
	}
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
	s.holds.Store(c.Directory, true)
	return nil
}

// errNowhere means that all other replicas answer and none has the file.
var errNowhere = errors.New("no coordinator has it")

// fetchManifest takes a manifest that the log no longer holds from this replica's store or from another replica.
func (s *Server) fetchManifest(ctx context.Context, c claimed) (*checkpoint.Manifest, error) {
	right := func(text []byte) bool { sum := sha256.Sum256(text); return bytes.Equal(sum[:], c.ManifestSum) }
	if file, _, err := s.store.OpenFile(c.Directory, checkpoint.ManifestName); err == nil {
		text, err := io.ReadAll(io.LimitReader(file, checkpoint.MaxManifestBytes))
		if err = errors.Join(err, file.Close()); err == nil && right(text) {
			return checkpoint.ParseManifest(text)
		}
	}
	failures, nowhere := []error{fmt.Errorf("file %s is missing", checkpoint.ManifestName)}, true
	for _, r := range s.log.Replicas() {
		if r.ID == s.cfg.ID {
			continue
		}
		text := &boundedBuffer{}
		err := s.cfg.Fetch(ctx, r.Address, c.Directory, checkpoint.ManifestName, text)
		if err == nil && right(text.Bytes()) {
			return checkpoint.ParseManifest(text.Bytes())
		}
		nowhere = nowhere && (err == nil || status.Code(err) == codes.NotFound)
		failures = append(failures, fmt.Errorf("from coordinator %s: %w", r.ID, cmp.Or(err, errOther)))
	}
	if nowhere {
		failures = append(failures, errNowhere)
	}
	return nil, errors.Join(failures...)
}

// errOther means that what another replica holds is not what the log says.
var errOther = errors.New("its copy is not what the log says")

// boundedBuffer is a buffer limited to the size of a manifest.
type boundedBuffer struct{ bytes.Buffer }

// Write refuses more than a manifest's bytes.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > checkpoint.MaxManifestBytes {
		return 0, fmt.Errorf("more than the %d bytes of a manifest", checkpoint.MaxManifestBytes)
	}
	return b.Buffer.Write(p)
}

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
	defer s.sweptAt.Store(0) // the stored file may no longer belong to anything by then
	began := time.Now()
	err := s.store.PutFile(first.Directory, first.Name, body, int64(first.Bytes), sum)
	s.counts.stored(began, first.Bytes, err)
	return err
}

// GetFile reads a checkpoint file from this replica's store.
func (s *Server) GetFile(r *rpc.GetFileRequest, stream rpc.Coordinator_GetFileServer) error {
	if who, _, err := certs.CallerOf(stream.Context()); err == nil && who.Role == certs.Viewer && r.Name != checkpoint.HistoryFile() {
		return status.Errorf(codes.PermissionDenied, "%v may see a job's curve, and no other file of its checkpoints", who)
	}
	return s.LoadFile(r.Directory, r.Name, func(part []byte) error { return stream.Send(&rpc.FilePart{Data: part}) })
}

// LoadFile calls send with the bytes of a checkpoint file from this replica's store, part by part.
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
