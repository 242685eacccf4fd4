package watch

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"ringmaster/internal/launch"
	"ringmaster/internal/ui"
)

var rewrite = flag.Bool("rewrite", false, "write what the frames look like now into the expected ones")

// told is a scene whose snapshot is in testdata.
func told(t *testing.T, name string) Scene {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var snap ui.Snapshot
	if err := json.Unmarshal(data, &snap); err != nil {
		t.Fatal(err)
	}
	var lists struct { // which the page sends by themselves
		Jobs        []launch.JobEntry
		Epochs      []ui.Epoch
		Views       []launch.ViewSummary
		Checkpoints []launch.CheckpointEntry
	}
	if err := json.Unmarshal(data, &lists); err != nil {
		t.Fatal(err)
	}
	snap.Jobs, snap.Epochs, snap.Views, snap.Checkpoints = lists.Jobs, lists.Epochs, lists.Views, lists.Checkpoints
	s := Scene{Snapshot: &snap}
	for step := uint64(1); step <= 812; step += 7 {
		s.Curve = append(s.Curve, ui.Point{Step: step, Loss: 2.3*math.Exp(-float64(step)/150) + 0.2})
	}
	return s
}

func text(rows []Row) string {
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "%d %s\n", r.Look, r.Text)
	}
	return out.String()
}

func TestFrames(t *testing.T) {
	running, paused := told(t, "running"), told(t, "running")
	paused.Snapshot.Status.State, paused.Snapshot.Status.Message, paused.Snapshot.Status.Stalled = "paused", "paused until it is resumed: ringmaster jobs resume mnist", nil
	paused.Question = "resume mnist?"
	lost := told(t, "running")
	lost.Snapshot.Error = "ask for the status: no coordinator answers at 127.0.0.1:7000"
	logarithmic := told(t, "running")
	logarithmic.Log, logarithmic.ReadOnly = true, true
	for _, c := range []struct {
		name          string
		scene         Scene
		width, height int
	}{
		{"running-80x24", running, 80, 24}, {"running-40x10", running, 40, 10}, {"running-200x60", running, 200, 60},
		{"paused-80x24", paused, 80, 24}, {"lost-80x24", lost, 80, 24}, {"log-80x24", logarithmic, 80, 24},
		{"asking-40x10", Scene{}, 40, 10}, {"unreachable-40x10", Scene{Snapshot: &ui.Snapshot{Error: "no coordinator answers at 127.0.0.1:7000"}}, 40, 10},
		{"empty-40x10", Scene{Snapshot: &ui.Snapshot{Status: &launch.Status{}}}, 40, 10},
	} {
		got, file := text(Frame(c.scene, c.width, c.height)), filepath.Join("testdata", c.name+".txt")
		if *rewrite {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%s\nwant (go test ./internal/watch -rewrite):\n%s", c.name, got, want)
		}
	}
}

// Whatever a cluster says, a frame fits its screen and holds nothing that a terminal obeys.
func TestEveryFrameFitsItsScreen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.StringOf(rapid.RuneFrom([]rune("ab \x1b[2J\n\t世é\u202e")))
		snap := &ui.Snapshot{Job: "1", Seats: 4, Error: words.Draw(t, "error"), Status: &launch.Status{Job: words.Draw(t, "job"), State: "running", Message: words.Draw(t, "message")}}
		for range rapid.IntRange(0, 30).Draw(t, "workers") {
			snap.Status.Workers = append(snap.Status.Workers, launch.WorkerStatus{ID: words.Draw(t, "id"), Host: words.Draw(t, "host"), Arc: &[2]int{0, 1}, State: words.Draw(t, "state")})
		}
		for range rapid.IntRange(0, 5).Draw(t, "jobs") {
			snap.Jobs = append(snap.Jobs, launch.JobEntry{ID: words.Draw(t, "id"), Name: words.Draw(t, "name"), State: "queued"})
		}
		s := Scene{Snapshot: snap, Log: rapid.Bool().Draw(t, "log")}
		step := uint64(0)
		for range rapid.IntRange(0, 50).Draw(t, "points") {
			step += rapid.Uint64Range(0, 1000).Draw(t, "steps")
			s.Curve = append(s.Curve, ui.Point{Step: step, Loss: rapid.Float64().Draw(t, "loss")})
		}
		width, height := rapid.IntRange(1, 250).Draw(t, "width"), rapid.IntRange(1, 80).Draw(t, "height")
		rows := Frame(s, width, height)
		if len(rows) != height {
			t.Fatalf("%d rows on a screen of %d", len(rows), height)
		}
		for _, r := range rows {
			if w := ansi.StringWidth(r.Text); w > width || strings.ContainsAny(r.Text, "\x1b\n\t\u202e") {
				t.Fatalf("row %q is %d cells wide, of %d", r.Text, w, width)
			}
		}
	})
}

func TestCurvesOfOddLosses(t *testing.T) {
	for name, points := range map[string][]ui.Point{
		"none": nil, "one": {{Step: 1, Loss: 1}}, "not finite": {{Step: 1, Loss: math.NaN()}, {Step: 2, Loss: math.Inf(1)}}, "one step": {{Step: 3, Loss: 1}, {Step: 3, Loss: 2}},
	} {
		if rows := plot(points, false, 80, 10); rows != nil {
			t.Errorf("%s: drawn as %q", name, rows)
		}
	}
	flat := plot([]ui.Point{{Step: 1, Loss: 0.5}, {Step: 9, Loss: 0.5}}, false, 40, 5)
	if len(flat) != 5 || !strings.Contains(strings.Join(flat, ""), "⠒⠒") && !strings.Contains(strings.Join(flat, ""), "⠤⠤") && !strings.Contains(strings.Join(flat, ""), "⣀⣀") && !strings.Contains(strings.Join(flat, ""), "⠉⠉") {
		t.Errorf("equal losses are no level line: %q", flat)
	}
	huge := plot([]ui.Point{{Step: 1, Loss: -math.MaxFloat64}, {Step: 2, Loss: math.MaxFloat64}}, false, 40, 5)
	if len(huge) == 0 {
		t.Error("losses of any size are not drawn")
	}
}
