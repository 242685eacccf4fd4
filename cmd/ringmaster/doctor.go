package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/doctor"
	"ringmaster/internal/printable"
)

func doctorCommand() *cobra.Command {
	var o doctor.Options
	var sets []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [JOB.yaml]",
		Short: "Check what usually goes wrong on a machine, and say what to do",
		Long: `Checks this machine: ports, interfaces, clocks, certificates, the disk, limits, kernels, and for a job its data and memory. Each line is ok,
warn or fail, and below what is not ok stands what to do. Run it where a daemon is to run, as its user, with its --bind, --certs and --dir.

Into --dir 16 MiB are written and deleted again; nothing else changes. No check takes longer than --timeout. Exit code 1: something failed;
2: wrong usage, or a mistake in the job file.`,
		Example: `  ringmaster doctor
  ringmaster doctor configs/quickstart.yaml --workers 2
  ringmaster doctor --bind 10.0.0.2:7070 --dir /var/lib/ringmaster --certs certs --cluster 10.0.0.1:7070`,
		Args: cli.Takes("[JOB.yaml]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := prepareDoctor(&o, args, sets); err != nil {
				return wrong(err)
			}
			var findings []doctor.Finding
			worst := doctor.Examine(cmd.Context(), o, func(f doctor.Finding) {
				f.Text, f.Remedy = printable.Line(f.Text, maxError), printable.Line(f.Remedy, maxError)
				if findings = append(findings, f); !asJSON {
					showFinding(f)
				}
			})
			if asJSON {
				if err := writeJSON(os.Stdout, map[string]any{"state": worst, "checks": findings}); err != nil {
					return failed(err)
				}
			}
			if worst == doctor.Fail {
				return &exit{exitFailed, nil} // the lines say why
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE` (train.steps=200); repeatable")
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "workers that the job is to have on this machine (default: as many as launch takes)")
	cmd.Flags().StringVar(&o.Dir, "dir", ".", "`folder` where state is to be written")
	cmd.Flags().StringSliceVar(&o.Binds, "bind", []string{"127.0.0.1:0"}, "`address`es on which daemons are to listen here, host:port")
	cmd.Flags().StringSliceVar(&o.Cluster, "cluster", nil, "`address`es of coordinators to ask for their clocks, host:port")
	cmd.Flags().DurationVar(&o.Each, "timeout", 10*time.Second, "the longest that one check may take")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	certsFlag(cmd, &o.Certs)
	return cmd
}

func prepareDoctor(o *doctor.Options, args, sets []string) error {
	o.Now = time.Now
	if o.Each <= 0 || o.Each > time.Hour {
		return errors.New("--timeout must be more than 0 and at most 1h")
	}
	for _, bind := range o.Binds {
		if err := config.CheckListen(bind); err != nil {
			return fmt.Errorf("--bind: %w", err)
		}
	}
	if len(o.Cluster) > 0 {
		if err := checkCluster(o.Cluster); err != nil {
			return err
		}
		// Without a certificate that can be used the certificates' line says what is wrong, and the clocks' that nobody answers.
		o.Dial, _ = connection(o.Certs, o.Cluster)
	}
	if len(args) == 0 {
		if len(sets) > 0 || o.Workers != 0 {
			return errors.New("--set and --workers go with a job file: name one")
		}
		return nil
	}
	job, err := config.Load(args[0], sets)
	if err != nil {
		return err
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.NumCPU(), job.Seats)
	}
	if o.Workers < 1 || o.Workers > job.Seats {
		return fmt.Errorf("--workers %d must be from 1 to the job's seats: %d", o.Workers, job.Seats)
	}
	o.Job = job
	return nil
}

func showFinding(f doctor.Finding) {
	fmt.Printf("%-4s  %-12s  %s\n", f.State, f.Check, f.Text)
	if f.State != doctor.OK {
		fmt.Printf("%-4s  %-12s  -> %s\n", "", "", f.Remedy)
	}
}
