package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/certs"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/fleet"
	"ringmaster/internal/fleet/agent"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// hostsFile is the file of hosts unless one is named.
const hostsFile = "hosts.yaml"

// fleetFlags are those of all commands that reach hosts by ssh.
type fleetFlags struct {
	binaries []string
	dist     string
	parallel int
}

func (f *fleetFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.parallel, "parallel", fleet.MaxParallel, "hosts at a time")
}

// fleetOptions reads the file of hosts.
func (f *fleetFlags) options(args []string) (fleet.Options, error) {
	file := hostsFile
	if len(args) > 0 {
		file = args[0]
	}
	if f.parallel < 1 || f.parallel > 1024 {
		return fleet.Options{}, errors.New("--parallel must be from 1 to 1024")
	}
	hosts, err := config.LoadHosts(file)
	if err != nil {
		return fleet.Options{}, err
	}
	given, err := fleet.ParseBinaries(f.binaries)
	if err != nil {
		return fleet.Options{}, err
	}
	var mu sync.Mutex
	return fleet.Options{Hosts: hosts, Place: fleet.PlaceOf(file), Programs: &fleet.Programs{Given: given, Dist: f.dist}, Parallel: f.parallel, Now: time.Now,
		Say: func(host, text string) {
			mu.Lock()
			defer mu.Unlock()
			if host != "" {
				text = host + ": " + text
			}
			fmt.Println(text)
		},
		Complain: func(host string, problem error) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(os.Stderr, "ringmaster: %s: %s\n", host, oneLine(problem))
		},
	}, nil
}

func upCommand() *cobra.Command {
	var f fleetFlags
	cmd := &cobra.Command{
		Use:   "up [HOSTS.yaml]",
		Short: "Start a cluster on machines that ssh reaches",
		Long: `Makes the machines of a file of hosts (default: hosts.yaml) run a cluster: copies this program to each by ssh where it is missing, gets them certificates,
and starts coordinators and workers, under systemd --user where that outlives a logout, else as processes of their own. Again, it starts only what is missing or has
changed, one host after another; hosts that are no longer in the file are stopped. A host that fails is named, and the others go on.

ssh is the system's, with your configuration, agent and known hosts; it must not ask for a password. Private keys are made where they are used and never travel.
Beside HOSTS.yaml a folder HOSTS-cluster keeps the cluster's authority: keep it private, and keep it.`,
		Example: `  ringmaster up
  ringmaster up lab.yaml --binary linux/arm64=bin/ringmaster-arm64
  ringmaster submit job.yaml --cluster lab.yaml`,
		Args: cli.Takes("[HOSTS.yaml]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return wrong(err)
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				report, err := fleet.Up(ctx, o)
				return concluded(report, errors.Join(err, o.Programs.Close()), func() { tellUp(report, args) })
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&f.binaries, "binary", nil, "`PLATFORM=FILE`: the ringmaster for hosts of another platform, like linux/arm64=FILE; repeatable")
	cmd.Flags().StringVar(&f.dist, "dist", "", "`folder` of a release's archives (make dist), for hosts of other platforms")
	return cmd
}

// concluded gives the exit code of a command on hosts, after it has told how it ended.
func concluded(report *fleet.Report, err error, tell func()) error {
	if report == nil {
		return wrong(err) // nothing was begun
	}
	if err != nil {
		return failed(errors.Join(err, report.Failed()))
	}
	tell()
	return failed(report.Failed())
}

func tellUp(r *fleet.Report, args []string) {
	what := "nothing was to change"
	if r.Changes > 0 {
		what = plural.Of(r.Changes, "daemon") + " changed"
	}
	fmt.Printf("%s and %s run, %s; %s leads, %s attached\n", plural.Of(r.Running(certs.Coordinator), "coordinator"), plural.Of(r.Running(certs.Worker), "worker"), what,
		r.Cluster.Leader, plural.Of(len(r.Cluster.Workers), "worker"))
	file := hostsFile
	if len(args) > 0 {
		file = args[0]
	}
	fmt.Println("next: " + commandLine([]string{"ringmaster", "submit", "JOB.yaml", "--cluster", file}))
	if len(r.Far) == len(r.Coordinators) {
		fmt.Printf("this machine does not reach %s itself; forward a port:\n  ssh -N -L 7070:%s %s\n  ringmaster submit JOB.yaml --cluster 127.0.0.1:7070 --certs %s\n",
			strings.Join(r.Far, ", "), r.Far[0], sshOf(r, r.Far[0]), commandLine([]string{r.Certs}))
	}
}

// sshOf is how the host is reached on which a coordinator is.
func sshOf(r *fleet.Report, address string) string {
	for _, h := range r.Hosts {
		for _, s := range h.Daemons {
			if s.Address == address {
				return h.SSH
			}
		}
	}
	return "HOST"
}

func downCommand() *cobra.Command {
	var f fleetFlags
	purge := false
	cmd := &cobra.Command{
		Use:   "down [HOSTS.yaml]",
		Short: "Stop the cluster that ringmaster up has started",
		Long: `Has the running jobs save a checkpoint, then stops the workers and the coordinators of a file of hosts (default: hosts.yaml). What does not end is named and left
alone. ringmaster up starts everything again, and the jobs go on.

With --purge it also deletes what the cluster has on the hosts, its jobs and checkpoints included.`,
		Example: "  ringmaster down\n  ringmaster down lab.yaml --purge",
		Args:    cli.Takes("[HOSTS.yaml]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return wrong(err)
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				report, err := fleet.Down(ctx, o, purge)
				return concluded(report, err, func() {
					if report.Failed() == nil {
						fmt.Println("nothing of the cluster runs any more")
					}
				})
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&purge, "purge", false, "delete what the cluster has on the hosts: programs, certificates, logs, jobs, checkpoints")
	return cmd
}

func hostsCommand() *cobra.Command {
	var f fleetFlags
	var of string
	var lines int
	var asJSON, follow bool
	cmd := &cobra.Command{
		Use:   "hosts [HOSTS.yaml]",
		Short: "Show the machines of a cluster that ringmaster up has started, or their logs",
		Long: `Shows for each machine of a file of hosts (default: hosts.yaml) whether ssh reaches it, and how its coordinator and workers are. The exit code is 1 where
one does not run or a machine does not answer.

With --logs it shows the last lines that a machine's daemons, or one of them, have logged.`,
		Example: "  ringmaster hosts\n  ringmaster hosts --json\n  ringmaster hosts lab.yaml --logs node1 --lines 100\n  ringmaster hosts --logs node1-w1 --follow",
		Args:    cli.Takes("[HOSTS.yaml]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return wrong(err)
			}
			if lines < 0 || lines > 100_000 {
				return wrong(errors.New("--lines must be from 0 to 100000"))
			}
			if of == "" && (follow || cmd.Flags().Changed("lines")) {
				return wrong(errors.New("--follow and --lines are for --logs: name a host or a daemon by it"))
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				if of != "" {
					return failed(fleet.Logs(ctx, o, of, lines, follow, os.Stdout))
				}
				report, err := fleet.Look(ctx, o)
				if report == nil {
					return failed(err)
				}
				return showHosts(report, err, asJSON)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().StringVar(&of, "logs", "", "show the logs of this host's daemons, or of one daemon: `NAME`")
	cmd.Flags().IntVar(&lines, "lines", 20, "with --logs: lines of each")
	cmd.Flags().BoolVar(&follow, "follow", false, "with --logs: go on showing what is added")
	cli.Either(cmd, "logs", "json")
	return cmd
}

// showHosts shows how the hosts are, and gives the exit code.
func showHosts(r *fleet.Report, err error, asJSON bool) error {
	down := ""
	for _, h := range r.Hosts {
		if !h.Reachable || h.Error != "" || len(h.Daemons) == 0 {
			down = h.Name
		}
		for _, s := range h.Daemons {
			if s.State != agent.Running {
				down = s.ID
			}
		}
	}
	if asJSON {
		err = errors.Join(err, writeJSON(os.Stdout, r))
	} else {
		err = errors.Join(err, table(os.Stdout, hostRows(r, time.Now())))
		if err == nil && r.Cluster != nil {
			fmt.Printf("%s leads, %s attached\n", r.Cluster.Leader, plural.Of(len(r.Cluster.Workers), "worker"))
		}
	}
	if err == nil && down != "" {
		return &exit{exitFailed, nil} // which one the table says
	}
	return failed(err)
}

// hostRows is a line for each daemon, and for each host without one.
func hostRows(r *fleet.Report, now time.Time) []string {
	rows := []string{"HOST\tADDRESS\tDAEMON\tSTATE\tPID\tFOR\tVERSION\tUNDER"}
	for _, h := range r.Hosts {
		switch {
		case h.Error != "":
			rows = append(rows, h.Name+"\t"+h.Address+"\t-\t"+h.Error)
			continue
		case len(h.Daemons) == 0:
			rows = append(rows, h.Name+"\t"+h.Address+"\t-\tnothing is installed")
			continue
		}
		for _, s := range h.Daemons {
			state, pid, since := s.State, "-", "-"
			if s.State == agent.Running {
				pid, since = fmt.Sprint(s.PID), now.Sub(time.Unix(s.Since, 0)).Round(time.Second).String()
			}
			row := []string{h.Name, s.Address, s.ID, state, pid, since, s.Version, s.Service}
			if s.Problem != "" {
				row = append(row, printable.Line(s.Problem, 300))
			}
			rows = append(rows, strings.Join(row, "\t"))
		}
	}
	return rows
}

// expandCluster lets --cluster name a file of hosts: its coordinators are meant, and the certificate that ringmaster up has made.
func expandCluster(cmd *cobra.Command) error {
	flag := cmd.Flags().Lookup("cluster")
	if flag == nil || !flag.Changed {
		return nil
	}
	given, err := cmd.Flags().GetStringSlice("cluster")
	if err != nil || len(given) != 1 || filepath.Ext(given[0]) != ".yaml" && filepath.Ext(given[0]) != ".yml" {
		return nil
	}
	place := fleet.PlaceOf(config.ExpandHome(given[0]))
	addresses, err := place.Addresses()
	if err != nil {
		return wrong(fmt.Errorf("--cluster: %w", err))
	}
	if slice, ok := flag.Value.(interface{ Replace([]string) error }); ok {
		if err := slice.Replace(addresses); err != nil {
			return wrong(err)
		}
	}
	if c := cmd.Flags().Lookup("certs"); c != nil && !c.Changed {
		return wrong(c.Value.Set(place.Certs()))
	}
	return nil
}
