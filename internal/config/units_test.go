package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The units for systemd are well formed and start the daemons with flags that these know.
func TestSystemdUnitsStartTheDaemonsWithKnownFlags(t *testing.T) {
	for file, known := range map[string][]Option{
		"ringmaster-coordinator.service": CoordinatorOptions,
		"ringmaster-worker@.service":     WorkerOptions,
	} {
		unit := readUnit(t, filepath.Join("..", "..", "configs", "systemd", file))
		for _, key := range []string{"Unit.Description", "Service.User", "Service.Restart", "Service.TimeoutStopSec", "Install.WantedBy"} {
			if unit[key] == "" {
				t.Errorf("%s: %s is missing", file, key)
			}
		}
		words := strings.Fields(unit["Service.ExecStart"])
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

// Systemd itself finds nothing wrong with the units, where it is there to say so. The daemons' place is taken by a program
// that every machine has.
func TestUnitsAsSystemdSeesThem(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh")
	}
	for file, daemon := range map[string]string{"ringmaster-coordinator.service": "coordinator", "ringmaster-worker@.service": "worker"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", "systemd", file))
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/"+daemon, shell)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput(); err != nil || strings.Contains(string(out), file) {
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
			if !ok || section == "" || unit[section+"."+key] != "" {
				t.Fatalf("%s: %q is no assignment in a section, or a second one", path, line)
			}
			unit[section+"."+key] = value
		}
	}
	return unit
}
