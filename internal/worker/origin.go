package worker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/optim"
)

// changedError means that the job's configuration is not the one that its checkpoint was made with. No worker can go on then.
type changedError struct {
	folder      string
	differences []config.Difference
}

// Error names the keys with both values.
func (e *changedError) Error() string {
	return fmt.Sprintf("cannot go on from checkpoint %s, because the job's configuration in the coordinators' log is not the one that it was made with: %s; "+
		"start it again with launch --resume and the right job file", e.folder, config.Describe(e.differences, config.Difference.String))
}

// checkOrigin compares the configuration that a checkpoint was made with, as its own manifest says, with the job's.
func (j *job) checkOrigin(ctx context.Context, m *checkpoint.Manifest, addresses []string) error {
	made := m
	if made.Config == "" {
		var err error
		if made, err = j.fetchManifest(ctx, m, addresses); err != nil {
			return err
		}
	}
	was, err := config.Decode([]byte(made.Config))
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", m.Folder(), err)
	}
	job, err := config.Decode(j.spec.Config)
	if err != nil {
		return err
	}
	if changed := optim.Changes(was, job, m.Step); len(changed) > 0 {
		return &changedError{m.Folder(), changed}
	}
	return nil
}

// fetchManifest reads the file of a manifest of which the log leaves out what the job holds already: that would be compared with itself.
func (j *job) fetchManifest(ctx context.Context, m *checkpoint.Manifest, addresses []string) (*checkpoint.Manifest, error) {
	err := errors.New("no coordinator is known")
	for _, address := range addresses {
		var text []byte
		pr, pw := io.Pipe()
		go func() {
			pw.CloseWithError(j.w.links.GetFile(ctx, address, m.Folder(), checkpoint.ManifestName, pw))
		}()
		text, err = io.ReadAll(io.LimitReader(pr, checkpoint.MaxManifestBytes+1))
		pr.Close()
		if err != nil {
			continue
		}
		var whole *checkpoint.Manifest
		if whole, err = checkpoint.ParseManifest(text); err != nil {
			continue
		}
		if whole.Name() == m.Name() && whole.StateDigest == m.StateDigest {
			return whole, nil
		}
		err = errors.New("it is of another checkpoint")
	}
	return nil, fmt.Errorf("read file %s/%s: %w", m.Folder(), checkpoint.ManifestName, err)
}
