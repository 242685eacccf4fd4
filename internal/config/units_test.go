package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The units for systemd are well formed and start the daemons with flags that these know.
func TestSystemdUnitsStartTheDaemonsWithKnownFlags(t *testing.T) {
	confined := ""
	for file, known := range map[string][]Option{
		"ringmaster-coordinator.service": CoordinatorOptions,
		"ringmaster-worker.service":      WorkerOptions,
		"ringmaster-worker@.service":     WorkerOptions,
	} {
		unit := readUnit(t, filepath.Join("..", "..", "configs", "systemd", file))
		for _, key := range []string{"Unit.Description", "Service.User", "Service.Restart", "Service.TimeoutStopSec", "Install.WantedBy"} {
			if unit[key] == "" {
				t.Errorf("%s: %s is missing", file, key)
			}
		}
		words := strings.Fields(unit["Service.ExecStart"])
		if seconds, err := strconv.Atoi(unit["Service.TimeoutStopSec"]); err != nil || seconds <= 20 {
			t.Errorf("%s: TimeoutStopSec=%s kills a daemon that has not given up yet", file, unit["Service.TimeoutStopSec"])
		}
		if hardening := hardening(t, unit); confined == "" {
			confined = hardening
		} else if hardening != confined {
			t.Errorf("%s is confined by\n%s\nanother unit by\n%s", file, hardening, confined)
		}
		program, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "ringmaster-"), ".service"), "@")
		if len(words) == 0 || filepath.Base(words[0]) != program {
			t.Fatalf("%s starts %q, not %s", file, words, program)
		}
		for _, word := range words[1:] {
			key, isFlag := strings.CutPrefix(word, "--")
			key = strings.ReplaceAll(key, "-", "_")
			if isFlag && key != "config" && !slices.ContainsFunc(known, func(o Option) bool { return o.Key == key }) {
				t.Errorf("%s: the %s has no flag %s", file, program, word)
			}
		}
	}
}

// hardening is what confines the daemon of a unit, the same for all: each has it whole, since units are read one by one.
func hardening(t *testing.T, unit map[string]string) string {
	t.Helper()
	var lines []string
	for key, value := range unit {
		name := strings.TrimPrefix(key, "Service.")
		own := slices.Contains([]string{"Service.ProtectHome", "Service.PrivateTmp"}, key) // workers read data there, and meet in a socket
		for _, word := range []string{"Protect", "Private", "Restrict", "SystemCall", "NoNewPrivileges", "MemoryDeny", "Lock", "Remove", "UMask"} {
			if name != key && strings.HasPrefix(name, word) && !own {
				lines = append(lines, name+"="+value)
			}
		}
	}
	if len(lines) < 15 {
		t.Errorf("only %d settings confine it", len(lines))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Systemd itself finds nothing wrong with the units, where it is there to say so. The daemons' place is taken by a program
// that every machine has, and their manual pages, which are not installed, are not looked for.
func TestUnitsAsSystemdSeesThem(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh")
	}
	for file, daemon := range map[string]string{"ringmaster-coordinator.service": "coordinator", "ringmaster-worker.service": "worker", "ringmaster-worker@.service": "worker"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", "systemd", file))
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/"+daemon, shell)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "--man=no", "verify", unit).CombinedOutput(); err != nil || strings.Contains(string(out), file) {
			t.Errorf("systemd-analyze verify %s: %v: %s", file, err, out)
		}
	}
}

// readUnit reads the assignments of a unit by section and key; each key may stand once.
func readUnit(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unit, section := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			if !slices.Contains([]string{"Unit", "Service", "Install"}, section) {
				t.Fatalf("%s: unknown section %s", path, line)
			}
		default:
			key, value, ok := strings.Cut(line, "=")
			if key == "SystemCallFilter" && strings.HasPrefix(value, "~") {
				key = "SystemCallFilter~"
			}
			if !ok || section == "" || unit[section+"."+key] != "" {
				t.Fatalf("%s: %q is no assignment in a section, or a second one", path, line)
			}
			unit[section+"."+key] = value
		}
	}
	return unit
}
