package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another program that does the work of a comparison, or the same one in another mode.
type peer struct {
	name     string
	commands [][]string // run one after another in a round
	mode     string     // the environment's MODE; "": none
}

// The peers that training is compared with. The fastest of them counts.
const (
	eager    = "PyTorch eager"
	fused    = "PyTorch fused"   // fused optimizers, fused attention, images channels last
	compiled = "PyTorch compile" // likewise, through torch.compile
	jax      = "JAX"             // compiled by XLA
)

// alone is the one peer of a comparison.
func alone(name string, commands ...[]string) []peer {
	return []peer{{name: name, commands: commands}}
}

// modes are a PyTorch program's modes.
func modes(command ...string) []peer {
	commands := [][]string{command}
	return []peer{{eager, commands, "eager"}, {fused, commands, "fused"}, {compiled, commands, "compile"}}
}

// jaxOf is a JAX program. XLA has threads of its own, which all are kept on one CPU, as ours has one thread.
func jaxOf(o options, program string, arguments ...string) peer {
	return peer{name: jax, commands: [][]string{append([]string{"taskset", "-c", "0", o.python, filepath.Join(o.peers, program)}, arguments...)}}
}

// missing says of every peer that cannot run here why, and how to get it.
func missing(ctx context.Context, o options) map[string]string {
	why := map[string]string{}
	compiler := "g++"
	if named := strings.Fields(os.Getenv("CXX")); len(named) > 0 {
		compiler = named[0]
	}
	if _, err := exec.LookPath(compiler); err != nil {
		why[compiled] = "no C++ compiler " + compiler + ": apt-get install g++, or set CXX"
	}
	_, err := exec.LookPath("taskset")
	switch {
	case err != nil:
		why[jax] = "no taskset, which keeps it on one CPU: apt-get install util-linux"
	case exec.CommandContext(ctx, o.python, "-c", "import jax, optax").Run() != nil:
		why[jax] = o.python + " lacks jax or optax: pip install jax optax"
	}
	return why
}

// present are the peers of a comparison that can run.
func present(peers []peer, why map[string]string) []peer {
	var all []peer
	for _, p := range peers {
		if why[p.name] == "" {
			all = append(all, p)
		}
	}
	return all
}

// failure is a peer that did not do its part of a comparison, which goes on without it.
type failure struct{ comparison, peer, why string }

// brief is an error's first line and the last one, where a program that ended tells why.
func brief(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if last := lines[len(lines)-1]; len(lines) > 1 {
		return strings.TrimSuffix(lines[0], ":") + ": " + last
	}
	return lines[0]
}

// check says what is missing and how to get it, before anything is measured, and returns the peers that cannot run.
func check(ctx context.Context, o options) (map[string]string, error) {
	if _, err := os.Stat(filepath.Join(o.peers, "launch.sh")); err != nil {
		return nil, fmt.Errorf("no PyTorch programs in %s: name their folder, make bench-peers PEERS=FOLDER", o.peers)
	}
	if _, err := os.Stat(o.ringmaster); err != nil {
		return nil, fmt.Errorf("%s is missing: run make build", o.ringmaster)
	}
	out, err := exec.CommandContext(ctx, o.python, "-c", "import torch; print(torch.__version__)").Output()
	if err != nil {
		return nil, errors.New(o.python + " has no torch: make bench-peers PYTHON=/usr/bin/python3 after apt-get install python3-torch, " +
			"or PYTHON=.venv/bin/python after python3 -m venv .venv && .venv/bin/pip install torch")
	}
	fmt.Printf("Beside PyTorch %s, %d rounds in turn, medians. A ratio above 1 is in our favour.\n", strings.TrimSpace(string(out)), o.rounds)
	why := missing(ctx, o)
	for _, name := range []string{compiled, jax} {
		if why[name] != "" {
			fmt.Printf("Missing: %s (%s).\n", name, why[name])
		}
	}
	fmt.Println()
	return why, nil
}
