// Command picture trains the quickstart twice on this machine, once undisturbed and once with a worker killed, writes down what
// happened, and draws it: docs/killed.svg, the picture in README.md.
//
//	make picture                         # a new run, drawn
//	go run ./docs/picture -redraw        # the run that is written down in docs/picture/run.json, drawn again
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// run is what the picture shows of a real run.
type run struct {
	Before      []seated `json:"before"` // who sat where before the kill
	Killed      string   `json:"killed"`
	After       []seated `json:"after"`
	Step        uint64   `json:"step"` // under way when the ring broke
	DetectedMs  float64  `json:"detected_ms"`
	StalledMs   float64  `json:"stalled_ms"`
	LostSteps   int      `json:"lost_steps"`
	Steps       uint64   `json:"steps"` // of the whole job
	Digest      string   `json:"digest"`
	Undisturbed string   `json:"undisturbed"` // the digest of the run without a kill
}

// seated is a worker with its seats.
type seated struct {
	Worker string `json:"worker"`
	Arc    [2]int `json:"arc"`
}

const (
	workers  = 4
	killed   = 2    // the third worker
	killStep = 1000 // at the earliest
	patience = 2 * time.Minute
)

func main() {
	redraw := flag.Bool("redraw", false, "draw the run that is written down, without a new one")
	flag.Parse()
	if err := paint(*redraw); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func paint(redraw bool) error {
	file := filepath.Join("docs", "picture", "run.json")
	if !redraw {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r, err := record(ctx)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(r, "", "    ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	r, err := load(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join("docs", "killed.svg"), []byte(draw(r)), 0o644)
}

// load reads a run that was written down.
func load(file string) (*run, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(run)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// summary and status are what the picture takes of the JSON that ringmaster writes.
type summary struct {
	Digest string `json:"digest"`
	Step   uint64 `json:"step"`
	Views  []struct {
		Cause      string  `json:"cause"`
		Step       uint64  `json:"step"`
		DetectedMs float64 `json:"detected_ms"`
		StalledMs  float64 `json:"stalled_ms"`
		LostSteps  int     `json:"lost_steps"`
	} `json:"views"`
}

type status struct {
	Generation int    `json:"generation"`
	Step       uint64 `json:"step"`
	Workers    []struct {
		ID  string  `json:"id"`
		PID int     `json:"pid"`
		Arc *[2]int `json:"arc"`
	} `json:"workers"`
}

// seated lists who sits where.
func (s *status) seated() (all []seated) {
	for _, w := range s.Workers {
		if w.Arc != nil {
			all = append(all, seated{w.ID, *w.Arc})
		}
	}
	return all
}

// record trains twice.
func record(ctx context.Context) (*run, error) {
	dir, err := os.MkdirTemp("", "ringmaster-picture-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &run{}
	plain, err := train(ctx, filepath.Join(dir, "plain"), func() error { return nil })
	if err != nil {
		return nil, err
	}
	disturbed := filepath.Join(dir, "killed")
	got, err := train(ctx, disturbed, func() error { return r.kill(ctx, disturbed) })
	if err != nil {
		return nil, err
	}
	if len(got.Views) != 2 || got.Views[1].Cause != "worker lost" {
		return nil, fmt.Errorf("the run went otherwise than the picture shows: views %+v", got.Views)
	}
	v := got.Views[1]
	r.Step, r.DetectedMs, r.StalledMs, r.LostSteps = v.Step, v.DetectedMs, v.StalledMs, v.LostSteps
	r.Steps, r.Digest, r.Undisturbed = got.Step, got.Digest, plain.Digest
	return r, nil
}

// train takes the quickstart to its end while something is done to it.
func train(ctx context.Context, dir string, meanwhile func() error) (*summary, error) {
	file := dir + ".json"
	launch := exec.CommandContext(ctx, "bin/ringmaster", "launch", "configs/quickstart.yaml", "--workers", fmt.Sprint(workers), "--threads", "1",
		"--set", "balance=false", "--dir", dir, "--summary", file, "--progress", "none")
	launch.Stderr = os.Stderr
	launch.Cancel = func() error { return launch.Process.Signal(os.Interrupt) }
	if err := launch.Start(); err != nil {
		return nil, err
	}
	if err := meanwhile(); err != nil {
		return nil, errors.Join(err, launch.Process.Signal(os.Interrupt), launch.Wait())
	}
	if err := launch.Wait(); err != nil {
		return nil, fmt.Errorf("%v: %w", launch, err)
	}
	s := new(summary)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(text, s)
}

// kill waits until the run is well under way, kills a worker, and waits for the view without it.
func (r *run) kill(ctx context.Context, dir string) error {
	before, err := await(ctx, dir, func(s *status) bool { return s.Step >= killStep && len(s.seated()) == workers })
	if err != nil {
		return err
	}
	victim := before.Workers[killed]
	r.Before, r.Killed = before.seated(), victim.ID
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		return err
	}
	after, err := await(ctx, dir, func(s *status) bool { return s.Generation > before.Generation && len(s.seated()) == workers-1 })
	if err != nil {
		return err
	}
	r.After = after.seated()
	return nil
}

// await asks for the status until it is as wanted.
func await(ctx context.Context, dir string, wanted func(*status) bool) (*status, error) {
	for {
		s := new(status)
		text, err := exec.CommandContext(ctx, "bin/ringmaster", "status", "--dir", dir, "--json").Output()
		if err == nil && json.Unmarshal(text, s) == nil && wanted(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
