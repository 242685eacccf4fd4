package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/certs"
	"ringmaster/internal/client"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	leaderTimeout  = 20 * time.Second // until the coordinators have a leader
	workersTimeout = 15 * time.Second // until the workers have attached
	removeTimeout  = 30 * time.Second // a leader hands over first
	saveTimeout    = 60 * time.Second // until a checkpoint is stored
)

// ask asks the cluster by the certificate of a coordinator of this host, so that whoever runs ringmaster up needs no way to it but ssh.
func (a *Agent) ask(ctx context.Context) (*Result, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	switch a.request.Op {
	case Remove:
		err := removeAll(ctx, c, a.request.IDs)
		return &Result{}, err
	case Save:
		saved, err := save(ctx, c)
		return &Result{Saved: saved}, err
	}
	s, err := status(ctx, c, a.request.Want)
	return &Result{Cluster: s}, err
}

// client is one of the cluster.
func (a *Agent) client() (*client.Client, error) {
	states, err := a.look()
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		if s.Role != certs.Coordinator || s.State != Running {
			continue
		}
		identity, err := certs.Load(a.path(s.ID, certsDir), a.Now())
		if err != nil {
			return nil, err
		}
		return client.New([]string{s.Address}, grpc.WithTransportCredentials(identity.Credentials(certs.Coordinator))), nil
	}
	return nil, errors.New("no coordinator runs here")
}

// status waits for a leader, and for a while for workers.
func status(ctx context.Context, c *client.Client, want int) (*ClusterState, error) {
	until := time.Now().Add(workersTimeout)
	for {
		asking, cancel := context.WithTimeout(ctx, leaderTimeout)
		found, err := c.Status(asking, "")
		cancel()
		if err != nil {
			return nil, err
		}
		s := &ClusterState{}
		for _, one := range found.Coordinators {
			s.Coordinators = append(s.Coordinators, one.Id)
			if one.Leader {
				s.Leader = one.Id
			}
		}
		for _, w := range found.Workers {
			s.Workers = append(s.Workers, w.Id)
		}
		if len(s.Workers) >= want || time.Now().After(until) || !sleep.For(ctx, 3*looks) {
			return s, ctx.Err()
		}
	}
}

// removeAll takes coordinators out of the cluster, after those that have just come vote. One that is no member any more is fine.
func removeAll(ctx context.Context, c *client.Client, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	joining := func(m *rpc.CoordinatorInfo) bool { return m.Joining && !slices.Contains(ids, m.Id) }
	for {
		members, err := c.Coordinators(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(members, joining) {
			break
		}
		if !sleep.For(ctx, looks) {
			return errors.New("the coordinators that have just started do not vote yet, so none is removed; run ringmaster up again")
		}
	}
	for _, id := range ids {
		members, err := c.Coordinators(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(members, func(m *rpc.CoordinatorInfo) bool { return m.Id == id }) {
			if err := c.RemoveCoordinator(ctx, id, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// save has the jobs that are running save a checkpoint, and waits until it is stored.
func save(ctx context.Context, c *client.Client) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	asked := map[string]bool{}
	var saved []string
	for {
		lines, err := c.Jobs(ctx)
		if err != nil {
			return saved, err
		}
		waiting := false
		for _, job := range lines {
			switch {
			case job.State != "running":
			case asked[job.Id]:
				waiting = waiting || job.Saving
			default:
				if err := c.Change(ctx, job.Id, rpc.Change_CHANGE_SAVE, 0); err != nil {
					return saved, fmt.Errorf("save job %s: %w", job.Name, err)
				}
				asked[job.Id], waiting = true, true
				saved = append(saved, job.Name)
			}
		}
		if !waiting {
			return saved, nil
		}
		if !sleep.For(ctx, looks) {
			return saved, fmt.Errorf("the checkpoint of %v is not stored after %v", saved, saveTimeout)
		}
	}
}
