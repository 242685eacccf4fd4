package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/sweep"
)

// A sweep's trials have the digests of launches with the same settings, also where one goes on from another; on a cluster's queue, too.
func TestSweep(t *testing.T) {
	job := filepath.Join(t.TempDir(), "swept.yaml")
	text := "name: swept\nseats: 2\nmodel: {kind: mlp, layers: [784, 16, 10]}\ndata: {kind: glyphs}\ntrain: {steps: 40, batch_per_seat: 8}\n"
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sweepOf := func(dir string, more ...string) *sweep.Report {
		t.Helper()
		args := append([]string{"sweep", job, "--grid", "train.steps=40,60", "--seeds", "2", "--json", "--progress", "none", "--dir", dir}, more...)
		code, out, stderr := run(t, t.TempDir(), args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr)
		}
		var r sweep.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return &r
	}
	here := filepath.Join(t.TempDir(), "here")
	local := sweepOf(here, "--workers", "2", "--threads", "1")
	if len(local.Trials) != 4 || local.Best == 0 || len(local.Points) != 2 {
		t.Fatalf("%+v", local)
	}
	if o := local.Trials[1]; o.From != 1 || o.Shared != 40 || o.Step != 60 || o.Seed != 1 {
		t.Errorf("the longer training does not go on from the shorter one: %+v", o)
	}
	alone := sweepOf(filepath.Join(t.TempDir(), "alone"), "--no-share", "--workers", "1", "--threads", "1")
	h := byHand(t, 1)
	h.worker(t.TempDir(), h.addresses[0])
	queued := sweepOf(filepath.Join(t.TempDir(), "queued"), "--cluster", h.cluster())
	for i := range local.Trials {
		a, b, c := local.Trials[i], alone.Trials[i], queued.Trials[i]
		if a.Digest == "" || a.Digest != b.Digest || a.Digest != c.Digest || *a.Final != *b.Final || *a.Final != *c.Final || b.From != 0 {
			t.Errorf("trial %d: shared %+v, alone %+v, in a queue %+v", i+1, a, b, c)
		}
	}
	if queued.Trials[3].Run != "swept-trial-004" {
		t.Errorf("the last trial's job is %s", queued.Trials[3].Run)
	}
	left := filepath.Join(t.TempDir(), "left")
	flags := []string{"sweep", job, "--seeds", "2", "--startup", "0", "--dir", left, "--cluster", h.cluster()}
	if code, out, stderr := run(t, t.TempDir(), append(flags, "--detach")...); code != 0 || out != "swept-trial-001-2\nswept-trial-002-2\n" {
		t.Errorf("exit code %d, %q, %s", code, out, stderr)
	}
	code, out, stderr := run(t, t.TempDir(), append(flags, "--resume", "--parallel", "2", "--json", "--progress", "none")...)
	var found sweep.Report
	if err := json.Unmarshal([]byte(out), &found); code != 0 || err != nil || len(found.Trials) != 2 || found.Trials[1].Run != "swept-trial-002-2" || found.Trials[0].Digest != local.Trials[0].Digest {
		t.Errorf("exit code %d, %v, %s, %s", code, err, out, stderr)
	}
	if _, err := os.Stat(filepath.Join(left, "trial-002", "metrics.csv")); err != nil {
		t.Error(err)
	}
	code, _, stderr = run(t, t.TempDir(), "sweep", job, "--grid", "train.steps=40,60", "--dir", here)
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, stderr, "holds a sweep already; go on with it by --resume")
	if again := sweepOf(here, "--resume"); again.Trials[0].Run != local.Trials[0].Run || !strings.Contains(again.Trials[3].Weights, "trial-004") {
		t.Errorf("%+v", again)
	}
}

// Trials whose schedules part late begin with one training, several run at once, and each has the digest of the training alone.
func TestSweepOfSchedules(t *testing.T) {
	dir := t.TempDir()
	job := filepath.Join(dir, "swept.yaml")
	text := "name: swept\nseats: 2\nmodel: {kind: mlp, layers: [784, 16, 10]}\ndata: {kind: glyphs}\ntrain: {steps: 40, batch_per_seat: 8, schedule: {kind: step}}\n"
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	told := filepath.Join(dir, "told")
	var reports [2]sweep.Report
	for i, more := range [][]string{{"--workers", "1", "--parallel", "2", "--on-event", `echo "$RINGMASTER_EVENT $RINGMASTER_JOB" >> ` + told}, {"--no-share", "--workers", "1", "--threads", "1"}} {
		args := append([]string{"sweep", job, "--grid", "train.schedule.step_size=20,30,50", "--json", "--dir", filepath.Join(dir, strings.Repeat("s", i+1))}, more...)
		code, out, stderr := run(t, dir, args...)
		if err := json.Unmarshal([]byte(out), &reports[i]); code != 0 || err != nil {
			t.Fatalf("exit code %d, %v: %s", code, err, stderr)
		}
	}
	shared, alone := reports[0], reports[1]
	if len(shared.Trunks) != 2 || shared.Trunks[0].Steps != 20 || shared.Trunks[1].Steps != 30 || shared.Trunks[1].Parent != 1 || len(alone.Trunks) != 0 {
		t.Errorf("%+v", shared.Trunks)
	}
	for i := range alone.Trials {
		a, b := shared.Trials[i], alone.Trials[i]
		if a.Digest == "" || a.Digest != b.Digest || *a.Final != *b.Final || a.Step != 40 || a.Trunk == 0 {
			t.Errorf("trial %d: shared %+v, alone %+v", i+1, a, b)
		}
	}
	if shared.Trials[0].Digest == shared.Trials[1].Digest {
		t.Error("other schedules give the same weights")
	}
	events, err := os.ReadFile(told)
	for _, want := range []string{"finished swept-trunk-001", "started swept-trial-003", "finished swept-trial-003"} {
		if err != nil || !strings.Contains(string(events), want+"\n") {
			t.Errorf("nobody was told %q: %s, %v", want, events, err)
		}
	}
}
