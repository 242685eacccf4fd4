package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Where string // "job.yaml:3:8", or the flag that set the key; empty when unknown
	Text  string // what is wrong and what to do
}

// Error is the problem in one line.
func (p *Problem) Error() string {
	if p.Where == "" {
		return p.Text
	}
	return p.Where + ": " + p.Text
}

// Problems is everything wrong with a configuration. Its message is one line.
type Problems []*Problem

// Error joins the problems by "; ".
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "; ")
}

// IsProblem reports whether err says that a configuration is wrong (and not, say, that a network failed).
func IsProblem(err error) bool {
	var one *Problem
	var all Problems
	return errors.As(err, &one) || errors.As(err, &all)
}

// origin remembers where the keys of a configuration were written, for messages.
type origin struct {
	file string            // name of the file for messages; may be empty
	at   map[string]string // dotted key -> "file:line:column" or "--set key=value"
}

// where is the place of the key, or of the nearest mapping around it that was written, or the file.
func (o *origin) where(key string) string {
	if o == nil {
		return ""
	}
	for key != "" {
		if at, ok := o.at[key]; ok {
			return at
		}
		key = around(key)
	}
	return o.file
}

// around is the key of the mapping or list that holds a key.
func around(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// written reports whether the key itself was written, in the file or by a flag.
func (o *origin) written(key string) bool {
	_, ok := o.at[key]
	return ok
}

// Errorf is an error about a key ("model.layers[0]", "train.epochs") of the job, with the place where the key, or the
// mapping that should hold it, was written. The message should name the key.
func (j *Job) Errorf(key, format string, args ...any) error {
	return &Problem{Where: j.origin.where(key), Text: fmt.Errorf(format, args...).Error()}
}
