package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTrainingHasEveryPeer: PyTorch in each of its modes, and JAX, on one CPU, where there is a program for it.
func TestTrainingHasEveryPeer(t *testing.T) {
	for _, c := range comparisons(options{python: "python3", peers: "peers"}) {
		if !strings.HasPrefix(c.name, "training on 1 worker") {
			continue
		}
		var names, environments []string
		for _, p := range c.theirs {
			names, environments = append(names, p.name), append(environments, p.mode)
			if pinned := strings.HasPrefix(strings.Join(p.commands[0], " "), "taskset -c 0 python3 "); pinned != (p.name == jax) {
				t.Errorf("%s: %s runs %v", c.name, p.name, p.commands[0])
			}
		}
		want, modes := []string{eager, fused, compiled}, []string{"eager", "fused", "compile"}
		if strings.Contains(c.name, "classifier") || strings.Contains(c.name, "GPT, ") {
			want, modes = append(want, jax), append(modes, "")
		}
		if !slices.Equal(names, want) || !slices.Equal(environments, modes) {
			t.Errorf("%s: beside %v in %v", c.name, names, environments)
		}
	}
}

// program writes a shell script that prints a figure, or does not.
func program(t *testing.T, script string) [][]string {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return [][]string{{path}}
}

// TestCompareGoesOnWithoutAPeerThatFails, and says which and why; without us, or without any peer, there is nothing to compare.
func TestCompareGoesOnWithoutAPeerThatFails(t *testing.T) {
	speaks := program(t, `echo "mode=$MODE, 5 steps"`)
	c := comparison{name: "work", ours: program(t, `echo "ours 10 steps"`),
		theirs:  []peer{{eager, speaks, "eager"}, {fused, speaks, "fused"}, {compiled, program(t, "echo no header file >&2; exit 3"), "compile"}, {jax, program(t, "echo nothing"), ""}},
		figures: []figure{{unit: "steps", ours: `ours ([0-9]+)`, theirs: `mode=(?:eager|fused), ([0-9]+)`}}}
	rows, failures, err := compare(t.Context(), c, options{rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[0]; len(r.ours) != 2 || len(r.theirs) != 2 || len(r.theirs[0].figures) != 2 || r.theirs[1].peer != fused || r.theirs[1].figures[1] != 5 {
		t.Errorf("rounds %+v", r)
	}
	if len(failures) != 2 || failures[0].peer != compiled || !strings.HasSuffix(failures[0].why, "exit status 3: no header file") ||
		failures[1].peer != jax || !strings.Contains(failures[1].why, "nothing like") {
		t.Errorf("failures %q", failures)
	}
	alike := c
	alike.theirs = c.theirs[2:3]
	if _, _, err := compare(t.Context(), alike, options{rounds: 1}); err == nil {
		t.Error("a comparison without any peer went on")
	}
	c.ours = c.theirs[2].commands
	if _, _, err := compare(t.Context(), c, options{rounds: 1}); err == nil {
		t.Error("a comparison without us went on")
	}
}

// TestMissingPeersAreNamed: without a compiler, taskset or the library, with what to do.
func TestMissingPeersAreNamed(t *testing.T) {
	t.Setenv("CXX", "/nowhere/c++ -O3")
	why := missing(t.Context(), options{python: "false"})
	if !strings.Contains(why[compiled], "/nowhere/c++:") || !strings.Contains(why[jax], "pip install jax optax") && !strings.Contains(why[jax], "taskset") {
		t.Errorf("missing: %q", why)
	}
	left := present(classifier(options{}, 32).theirs, why)
	if len(left) != 2 || left[0].name != eager || left[1].name != fused {
		t.Errorf("left: %v", left)
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CXX", "")
	why = missing(t.Context(), options{python: "false"})
	if !strings.Contains(why[compiled], "g++") || !strings.Contains(why[jax], "taskset") {
		t.Errorf("missing: %q", why)
	}
}

// TestCheckSaysHowToGetTorch runs the check with an interpreter that has none.
func TestCheckSaysHowToGetTorch(t *testing.T) {
	peers := t.TempDir()
	if err := os.WriteFile(filepath.Join(peers, "launch.sh"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	ours, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = check(t.Context(), options{python: "false", peers: peers, ringmaster: ours})
	if err == nil || !strings.Contains(err.Error(), "PYTHON=") || !strings.Contains(err.Error(), "pip install torch") {
		t.Errorf("says %v", err)
	}
}
