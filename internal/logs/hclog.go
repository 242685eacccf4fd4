package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
)

// hc is an hclog.Logger over slog.
type hc struct {
	to      *slog.Logger // without the implied arguments: ImpliedArgs must give them back
	quiet   *quiet
	name    string
	implied []any
}

// Raft gives the Raft library a logger that writes to to.
func Raft(to *slog.Logger) hclog.Logger {
	return &hc{to: to, quiet: newQuiet(), name: "raft"}
}

var levels = map[hclog.Level]slog.Level{hclog.NoLevel: slog.LevelInfo, hclog.Trace: LevelTrace, hclog.Debug: slog.LevelDebug,
	hclog.Info: slog.LevelInfo, hclog.Warn: slog.LevelWarn, hclog.Error: slog.LevelError}

// Log writes a line; Off writes nothing.
func (h *hc) Log(level hclog.Level, message string, args ...any) {
	l, ok := levels[level]
	if !ok {
		return
	}
	all := append(slices.Clone(h.implied), args...)
	for i, a := range all {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			if format, ok := f[0].(string); ok {
				all[i] = fmt.Sprintf(format, f[1:]...)
			}
		}
	}
	about := ""
	for i := 0; i+1 < len(all); i += 2 {
		if key, ok := all[i].(string); ok && key == "peer" {
			about = fmt.Sprint(all[i+1])
		}
	}
	h.quiet.write(h.to, line{l, h.name + ": " + message, about}, all)
}

func (h *hc) Trace(message string, args ...any) { h.Log(hclog.Trace, message, args...) }
func (h *hc) Debug(message string, args ...any) { h.Log(hclog.Debug, message, args...) }
func (h *hc) Info(message string, args ...any)  { h.Log(hclog.Info, message, args...) }
func (h *hc) Warn(message string, args ...any)  { h.Log(hclog.Warn, message, args...) }
func (h *hc) Error(message string, args ...any) { h.Log(hclog.Error, message, args...) }

func (h *hc) enabled(l slog.Level) bool { return h.to.Enabled(context.Background(), l) }

func (h *hc) IsTrace() bool { return h.enabled(LevelTrace) }
func (h *hc) IsDebug() bool { return h.enabled(slog.LevelDebug) }
func (h *hc) IsInfo() bool  { return h.enabled(slog.LevelInfo) }
func (h *hc) IsWarn() bool  { return h.enabled(slog.LevelWarn) }
func (h *hc) IsError() bool { return h.enabled(slog.LevelError) }

func (h *hc) ImpliedArgs() []any { return slices.Clone(h.implied) }
func (h *hc) Name() string       { return h.name }

func (h *hc) With(args ...any) hclog.Logger {
	c := *h
	c.implied = append(slices.Clone(h.implied), args...)
	return &c
}

func (h *hc) Named(name string) hclog.Logger {
	if h.name != "" {
		name = h.name + "." + name
	}
	return h.ResetNamed(name)
}

func (h *hc) ResetNamed(name string) hclog.Logger {
	c := *h
	c.name = name
	return &c
}

// SetLevel does nothing: the slog handler decides.
func (h *hc) SetLevel(hclog.Level) {}

// GetLevel is the lowest level that is written.
func (h *hc) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if h.enabled(levels[l]) {
			return l
		}
	}
	return hclog.Off
}

// StandardLogger is a standard logger whose lines may begin with a level in brackets.
func (h *hc) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(h.StandardWriter(nil), "", 0)
}

// StandardWriter takes lines that may begin with a level in brackets.
func (h *hc) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return &lineWriter{to: h.to, quiet: h.quiet, name: h.name}
}

// Gossip gives the gossip library a logger that writes to to. Its lines begin with their level: "[WARN] memberlist: ...".
func Gossip(to *slog.Logger) *log.Logger {
	return log.New(&lineWriter{to: to, quiet: newQuiet(), name: "gossip"}, "", 0)
}

// lineWriter turns lines like "[ERR] memberlist: text" into slog records. The log package calls it once a line.
type lineWriter struct {
	to    *slog.Logger
	quiet *quiet
	name  string
}

var prefixes = []struct {
	text  string
	level slog.Level
}{
	{"[TRACE]", LevelTrace}, {"[DEBUG]", slog.LevelDebug}, {"[INFO]", slog.LevelInfo}, {"[WARN]", slog.LevelWarn},
	{"[ERR]", slog.LevelError}, {"[ERROR]", slog.LevelError},
}

// Write takes one line.
func (w *lineWriter) Write(p []byte) (int, error) {
	text, level := bytes.TrimSpace(p), slog.LevelInfo
	for _, prefix := range prefixes {
		if rest, ok := bytes.CutPrefix(text, []byte(prefix.text)); ok {
			text, level = bytes.TrimSpace(rest), prefix.level
			break
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	if len(text) > 0 {
		w.quiet.write(w.to, line{level: level, message: w.name + ": " + string(text)}, nil)
	}
	return len(p), nil
}
