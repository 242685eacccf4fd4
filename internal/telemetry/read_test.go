package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/histogram"
)

func TestReadIsWhatWasServed(t *testing.T) {
	var took histogram.Durations
	took.Observe(3 * time.Millisecond)
	took.Observe(time.Second)
	r := NewRegistry()
	Register(r, append(families, One("test_sent_bytes_total", "Bytes.", Counter, func(*figures) float64 { return 1 << 40 })), func() *figures { return &figures{4, took.Snapshot()} })
	s := httptest.NewServer(Handler(r, fine, fine))
	defer s.Close()
	got, err := Read(t.Context(), s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"test_step_duration_seconds_sum": 1.003, "test_step_duration_seconds_count": 2, "test_sent_bytes_total": 1 << 40} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if _, labelled := got["test_seats"]; labelled {
		t.Error("a figure for each worker is read as one")
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	for text, answer := range map[string]http.HandlerFunc{
		"404":                    http.NotFound,
		"read the metrics at 12": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("no { metrics")) },
	} {
		s := httptest.NewServer(answer)
		if _, err := Read(t.Context(), s.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
		s.Close()
	}
}
