package watch

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"ringmaster/internal/launch"
	"ringmaster/internal/ui"
)

// answerFor is how long the answer to an action stands in the last row.
const answerFor = 5 * time.Second

// Run shows the cluster on a terminal until a key or a signal ends it. The signal is returned, nil for a key. The terminal is as it was
// afterwards, however this ends.
func Run(ctx context.Context, cfg ui.Config, in, out *os.File, signals <-chan os.Signal) (os.Signal, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chosen := make(chan string, 1)
	program := tea.NewProgram(&screen{ctx: ctx, cfg: cfg, chosen: chosen}, tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	guarded := func(do func()) {
		defer func() {
			if r := recover(); r != nil {
				program.Send(broken{fmt.Errorf("internal error: %v\n%s", r, debug.Stack())})
			}
		}()
		do()
	}
	go guarded(func() {
		for job := ""; ctx.Err() == nil; {
			looking, stop := context.WithCancel(ctx)
			follower := ui.NewWatcher(cfg, job)
			go guarded(func() { follower.Run(looking) })
			job = show(ctx, follower, program, chosen)
			stop()
		}
	})
	go func() {
		select {
		case s := <-signals:
			program.Send(ended{s})
		case <-ctx.Done():
		}
	}()
	final, err := program.Run()
	if s, ok := final.(*screen); ok && err == nil {
		return s.signal, s.err
	}
	return nil, err
}

// show passes on what a watcher sees until another job is chosen. What was on the screen stays there until the cluster has answered.
func show(ctx context.Context, follower *ui.Watcher, program *tea.Program, chosen <-chan string) (job string) {
	for {
		snap, curve, changed := follower.Now()
		if snap != nil {
			program.Send(news{snap, curve})
		}
		select {
		case <-changed:
		case job = <-chosen:
			return job
		case <-ctx.Done():
			return ""
		}
	}
}

// Messages to the screen.
type (
	news struct {
		snapshot *ui.Snapshot
		curve    []ui.Point
	}
	ended    struct{ signal os.Signal }
	broken   struct{ err error }
	answered struct{ text string }
	forget   struct{ number int } // the answer of this number has stood long enough
)

// screen is the program's state; only its own goroutine touches it.
type screen struct {
	ctx           context.Context
	cfg           ui.Config
	chosen        chan string // the job that is to be shown
	scene         Scene
	width, height int
	asked         *ui.Action // what a question is about
	answers       int
	signal        os.Signal
	err           error
}

// Init implements tea.Model.
func (s *screen) Init() tea.Cmd {
	s.scene.ReadOnly = s.cfg.ReadOnly
	return nil
}

// Update implements tea.Model.
func (s *screen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case news:
		s.scene.Snapshot, s.scene.Curve = m.snapshot, m.curve
	case ended:
		s.signal = m.signal
		return s, tea.Quit
	case broken:
		s.err = m.err
		return s, tea.Quit
	case answered:
		return s, s.answer(m.text)
	case forget:
		if m.number == s.answers {
			s.scene.Answer = ""
		}
	case tea.KeyPressMsg:
		return s, s.key(m.String())
	}
	return s, nil
}

// answer shows what became of an action, for a while.
func (s *screen) answer(text string) tea.Cmd {
	s.scene.Answer = text
	s.answers++
	number := s.answers
	return tea.Tick(answerFor, func(time.Time) tea.Msg { return forget{number} })
}

// key does what a key asks for.
func (s *screen) key(name string) tea.Cmd {
	switch name {
	case "ctrl+c":
		s.signal = os.Interrupt
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	}
	if s.asked != nil && (name == "y" || name == "Y") {
		a := *s.asked
		s.asked, s.scene.Question = nil, ""
		return tea.Batch(s.answer("asking the cluster"), s.carryOut(a))
	}
	if s.asked != nil && s.asked.Do == "scale" && (name == "+" || name == "=" || name == "-") {
		return s.ask(s.scaled(s.asked.Number, name))
	}
	if s.asked != nil {
		s.asked, s.scene.Question = nil, ""
		return nil
	}
	if name == "q" || name == "esc" {
		return tea.Quit
	}
	if name == "l" {
		s.scene.Log = !s.scene.Log
		return nil
	}
	if s.pick(name) {
		return nil
	}
	return s.wish(name)
}

// pick shows another job: the one of a number in the list, or the next one.
func (s *screen) pick(key string) bool {
	jobs := listed(s.scene.Snapshot)
	if len(jobs) < 2 {
		return false
	}
	at := -1
	if key == "tab" || key == "shift+tab" {
		shown := slices.IndexFunc(jobs, func(j launch.JobEntry) bool { return j.ID == s.scene.Snapshot.Job })
		if at = (shown + 1) % len(jobs); key == "shift+tab" {
			at = (max(shown, 0) + len(jobs) - 1) % len(jobs)
		}
	} else if len(key) == 1 && key[0] >= '1' && key[0] <= '9' {
		at = int(key[0] - '1')
	}
	if at < 0 || at >= len(jobs) {
		return false
	}
	select {
	case <-s.chosen: // one that nobody has taken up yet
	default:
	}
	s.chosen <- jobs[at].ID
	return true
}

// wish asks whether an action is meant.
func (s *screen) wish(name string) tea.Cmd {
	do, known := map[string]string{"p": "pause", "r": "resume", "s": "save", "x": "stop", "+": "scale", "=": "scale", "-": "scale"}[name]
	if !known || s.cfg.ReadOnly {
		return nil
	}
	if snap := s.scene.Snapshot; snap == nil || snap.Job == "" {
		return s.answer("there is no job yet")
	}
	a := ui.Action{Job: s.scene.Snapshot.Job, Do: do}
	if do == "scale" {
		a = s.scaled(seated(s.scene.Snapshot), name)
	}
	return s.ask(a)
}

func (s *screen) ask(a ui.Action) tea.Cmd {
	s.asked = &a
	s.scene.Question = fmt.Sprintf("%s %s?", a.Do, s.scene.Snapshot.Status.Job)
	if a.Do == "scale" {
		s.scene.Question = fmt.Sprintf("scale %s from %d to %d workers?", s.scene.Snapshot.Status.Job, seated(s.scene.Snapshot), a.Number)
	}
	return nil
}

// scaled is one worker more or less than n.
func (s *screen) scaled(n int, key string) ui.Action {
	if key == "-" {
		n--
	} else {
		n++
	}
	n = max(1, min(n, int(s.scene.Snapshot.Seats)))
	return ui.Action{Job: s.scene.Snapshot.Job, Do: "scale", Number: n}
}

func (s *screen) carryOut(a ui.Action) tea.Cmd {
	return func() tea.Msg {
		done, err := ui.CarryOut(s.ctx, s.cfg.Dial, a)
		if err != nil {
			return answered{a.Do + ": " + err.Error()}
		}
		return answered{done}
	}
}

// styles are the terminal's codes of looks, from the sixteen colours that people choose themselves.
var styles = map[Look]string{Title: "\x1b[1m", Heading: "\x1b[1m", Alarm: "\x1b[31;1m", Curve: "\x1b[36m", Keys: "\x1b[2m", Question: "\x1b[33;1m"}

// View implements tea.Model.
func (s *screen) View() tea.View {
	var lines []string
	for _, row := range Frame(s.scene, s.width, s.height) {
		line := row.Text
		if style := styles[row.Look]; style != "" && line != "" {
			line = style + line + "\x1b[0m"
		}
		lines = append(lines, line)
	}
	view := tea.NewView(strings.Join(lines, "\n"))
	view.AltScreen = true
	return view
}
