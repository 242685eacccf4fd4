package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"ringmaster/internal/regularfile"
)

// Load reads a job file, sets the keys of sets ("train.steps=200", as in --set) on top of it, fills in the defaults and
// checks everything. All problems come in one error, a Problems.
func Load(path string, sets []string) (*Job, error) {
	text, err := readFile(path, "job file")
	if err != nil {
		return nil, err
	}
	return Parse(path, text, sets)
}

// Parse is Load for a text; messages use name as the file's name.
func Parse(name string, text []byte, sets []string) (*Job, error) {
	job := &Job{}
	overrides, problems := parseSets(sets)
	b := newBinder(name)
	b.problems = problems
	b.fill(reflect.ValueOf(job).Elem(), text, overrides)
	job.origin = b.origin
	job.setDefaults()
	b.checkKinds("", reflect.ValueOf(job).Elem())
	job.validate(b)
	job.checkLength(b)
	if err := b.result(); err != nil {
		return nil, err
	}
	return job, nil
}

// checkLength refuses a job that nobody could read again: with all its defaults written out it is longer than in the file.
func (j *Job) checkLength(b *binder) {
	if len(b.problems) > 0 {
		return
	}
	if n := len(j.Encode()); n > maxBytes {
		b.problem(b.origin.where("model"), "model: with all defaults written out the job has %d bytes, more than the %d of a configuration; describe fewer layers, or leave out names", n, maxBytes)
	}
}

func newBinder(name string) *binder {
	return &binder{origin: &origin{file: name, at: map[string]place{}}, spoilt: map[string]bool{}}
}

// fill binds the text and then the overrides.
func (b *binder) fill(root reflect.Value, text []byte, overrides []override) {
	if node := b.parse("", text); node != nil {
		b.bind("", root, node)
	}
	for _, o := range overrides {
		b.apply(root, o)
	}
}

func readAll(path string) ([]byte, error) {
	open := regularfile.Open
	if path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") { // what a shell opens itself: launch <(...)
		open = os.Open
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// readFile reads a configuration file of bounded size.
func readFile(path, what string) ([]byte, error) {
	text, err := readAll(path)
	if detailed := (*fs.PathError)(nil); errors.As(err, &detailed) {
		err = detailed.Err // without the system call
	}
	if err != nil {
		return nil, &Problem{Text: fmt.Sprintf("cannot read the %s %s: %v; name a YAML file", what, path, err)}
	}
	return text, nil
}
