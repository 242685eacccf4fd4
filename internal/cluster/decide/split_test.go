package decide

import (
	"strings"
	"testing"
	"time"
)

// A job whose command the log refuses does not hold the others up, and is asked again a moment later.
func TestARefusedJobLetsTheOthersGoFirst(t *testing.T) {
	sc := newScenario(t.Fatalf)
	for _, line := range strings.Split(`submit id=a seats=2 max=1
submit id=b seats=2 max=1
report w1 READY of=a
report w2 READY of=a
decide
advance 2s
beat
decide
report w2 READY of=b
report w1 READY of=a g=1
beat`, "\n") {
		if err := sc.run(line, &strings.Builder{}); err != nil {
			t.Fatal(err)
		}
	}
	first := sc.leader.Next(sc.state, sc.now)
	if first.job != "a" || first.Command.Start == nil {
		t.Fatalf("%+v", first)
	}
	sc.leader.Refused(first, sc.now)
	if next := sc.leader.Next(sc.state, sc.now.Add(refusedFor-time.Millisecond)); next.job != "b" || next.Command.View == nil {
		t.Errorf("after it was refused: %+v", next)
	}
	if again := sc.leader.Next(sc.state, sc.now.Add(refusedFor)); again.job != "a" {
		t.Errorf("a moment later: %+v", again)
	}
}
