package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// place is where something was written: a file and in it a line and a column, or a flag. The zero place is unknown.
type place struct {
	name         string // of the file, or the flag as it was written
	line, column int    // from 1; column 0: the file as a whole, or a flag, whose line is beyond those of all files
}

// String is the place as editors understand it, "job.yaml:3:8"; empty when unknown, or in a text that nobody has as a file.
func (p place) String() string {
	if p.column == 0 || p.name == "" {
		return p.name
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.column)
}

// flagPlace is the place of the i-th flag. Flags come after the file.
func flagPlace(i int, flag string) place { return place{name: flag, line: maxBytes + 2 + i} }

// Problem is one thing wrong with a configuration.
type Problem struct {
	Text string // what is wrong and what to do

	where place
}

// Error is the problem in one line.
func (p *Problem) Error() string {
	if where := p.where.String(); where != "" {
		return where + ": " + p.Text
	}
	return p.Text
}

// Problems is everything wrong with a configuration. Its message is one line.
type Problems []*Problem

// sort puts the problems into the order in which a reader meets them: the file's lines, then the flags.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.where.line, b.where.line), cmp.Compare(a.where.column, b.where.column))
	})
}

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
	file string           // name of the file for messages; may be empty
	at   map[string]place // by dotted key
}

// where is the place of the key, or of the nearest mapping around it that was written, or the file.
func (o *origin) where(key string) place {
	if o == nil {
		return place{}
	}
	for key != "" {
		if at, ok := o.at[key]; ok {
			return at
		}
		key = around(key)
	}
	return place{name: o.file}
}

// around is the key of the mapping or list that holds a key.
func around(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// written reports whether the key itself was written, in the file or by a flag.
func (o *origin) written(key string) bool {
	_, ok := o.at[key]
	return ok
}

// Written reports whether the job file, or a flag, writes the key.
func (j *Job) Written(key string) bool { return j.origin != nil && j.origin.written(key) }

// Errorf is an error about a key ("model.layers[0]", "train.epochs") of the job, with the place where the key, or the
// mapping that should hold it, was written. The message should name the key.
func (j *Job) Errorf(key, format string, args ...any) error {
	return &Problem{where: j.origin.where(key), Text: fmt.Errorf(format, args...).Error()}
}

// Blame is an error about a section of the job with the place of the key that it is of (a KeyError), or else of the one that most
// probably is at fault.
func (j *Job) Blame(section string, err error) error {
	key := section
	switch {
	case section == "train":
		key = "train.loss"
	case section == "data" && j.Data.Path != "":
		key = "data.path"
	case section == "data" && j.Data.Dir != "":
		key = "data.dir"
	case section == "data" && j.Data.IsTable():
		key = "data.train"
	case section == "data":
		key = "data.kind"
	}
	if of, ok := errors.AsType[*KeyError](err); ok {
		key = of.Key
	}
	return j.Errorf(key, "%w", err)
}
