package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
)

const (
	answerTimeout = 5 * time.Second  // how long a cluster may take to answer at first
	removeTimeout = 20 * time.Second // and then to take a replica out: a leader hands over first
	notable       = 64               // log entries that a voter may lack for a moment
)

func coordinatorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coordinators",
		Short: "List the coordinators of a running cluster, or remove one",
		Long: `Lists the coordinators of a running cluster, or removes one. Training goes on meanwhile.

To add one, start it with an id of its own and an empty folder: coordinator --id c4 --bind HOST:7070 --join ADDR. It takes over
the log and the checkpoints, and then gets a vote. To replace one, dead or alive, add the new one, then remove the old one. One that
moves to another address is started there with its folder, the new --bind, and --join ADDR.`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(coordinatorsListCommand(), coordinatorsRemoveCommand())
	return cmd
}

// clusterFlags are where a command finds a running cluster.
type clusterFlags struct {
	dir, certificate string
	cluster          []string
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&f.cluster, "cluster", nil, "`address`es of coordinators, host:port")
	certsFlag(cmd, &f.certificate)
	cli.Either(cmd, "dir", "cluster")
}

// ask opens a client of the cluster for as long as do takes.
func (f *clusterFlags) ask(ctx context.Context, timeout time.Duration, do func(context.Context, *client.Client) error) error {
	addresses, err := clusterOf(f.dir, f.cluster)
	if err != nil {
		return err
	}
	certificate := f.certificate
	if len(f.cluster) == 0 {
		certificate = "" // a launch is on this machine alone
	}
	options, err := connection(certificate, addresses)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	coordinators := client.New(addresses, options...)
	err = do(ctx, coordinators)
	switch own := (*exit)(nil); {
	case errors.As(err, &own):
	case errors.Is(err, client.ErrUnreachable):
		err = &exit{exitNotUp, err}
	default:
		err = failed(err)
	}
	return errors.Join(err, failed(coordinators.Close()))
}

func coordinatorsListCommand() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "list [--dir DIR | --cluster ADDR]",
		Short: "List the coordinators: where they are, who leads, who votes, who does not answer",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd.Context(), answerTimeout, func(ctx context.Context, client *client.Client) error {
				all, err := client.Coordinators(ctx)
				if err != nil {
					return err
				}
				return table(os.Stdout, describeCoordinators(all))
			})
		},
	}
	f.add(cmd)
	return cmd
}

// describeCoordinators is a line for each coordinator.
func describeCoordinators(all []*rpc.CoordinatorInfo) []string {
	var lines []string
	for _, c := range all {
		state := "votes"
		switch {
		case c.Leader:
			state = "leads"
		case c.Joining:
			state = "joins"
		}
		switch {
		case c.Silent:
			state += ", does not answer"
		case c.Behind > 0 && c.Joining || c.Behind > notable:
			state += fmt.Sprintf(", %s behind", plural.Of(c.Behind, "log entry"))
		}
		lines = append(lines, c.Id+"\t"+c.Address+"\t"+state)
	}
	return lines
}

func coordinatorsRemoveCommand() *cobra.Command {
	var f clusterFlags
	force := false
	cmd := &cobra.Command{
		Use:   "remove ID [--dir DIR | --cluster ADDR]",
		Short: "Remove a coordinator from a running cluster, dead or alive",
		Long: `Removes a coordinator. If it leads, another takes over first; if it lives, it notices and ends. A removal after which no majority
of the others answers is refused.`,
		Args: cli.Takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), answerTimeout+removeTimeout, func(ctx context.Context, client *client.Client) error {
				return removeCoordinator(ctx, client, args[0], force)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also where no majority of the others answers: then nothing can be decided until one does")
	return cmd
}

func removeCoordinator(ctx context.Context, client *client.Client, id string, force bool) error {
	first, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	all, err := client.Coordinators(first)
	if err != nil {
		return err
	}
	var ids []string
	for _, c := range all {
		ids = append(ids, c.Id)
	}
	if !slices.Contains(ids, id) {
		return wrong(fmt.Errorf("there is no coordinator %s; there are %s", id, strings.Join(ids, ", ")))
	}
	if err := client.RemoveCoordinator(ctx, id, force); err != nil {
		return err
	}
	rest := slices.DeleteFunc(ids, func(other string) bool { return other == id })
	note := ""
	if len(rest)%2 == 0 {
		note = fmt.Sprintf("; %d survive no more deaths than %d would", len(rest), len(rest)-1)
	}
	_, err = fmt.Printf("%s is removed; the coordinators are %s%s\n", id, strings.Join(rest, ", "), note)
	return err
}
