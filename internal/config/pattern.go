package config

import (
	"encoding/hex"
	"path"
	"strings"

	"ringmaster/internal/printable"
)

// Matches reports whether a pattern names a tensor: "fc.weight", all that begin with a path ("layer4" and "layer4.0" are
// "layer4.0.weight", "layer" is not), or either with the wildcards of path.Match ("*.bias", "layer[34]"), which here go across dots.
func Matches(pattern, name string) bool {
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if ok, err := path.Match(pattern, name[:end]); ok && err == nil {
			return true
		}
	}
	return false
}

// Patterns are what tensors are named by in a job, each remembering whether it named one.
type Patterns struct {
	patterns []string
	used     []bool
}

// NewPatterns makes patterns of which none has been used.
func NewPatterns(patterns []string) *Patterns {
	return &Patterns{patterns, make([]bool, len(patterns))}
}

// Match reports whether any pattern names the tensor.
func (p *Patterns) Match(name string) bool {
	found := false
	for i, pattern := range p.patterns {
		if Matches(pattern, name) {
			p.used[i], found = true, true
		}
	}
	return found
}

// Unused is the index of the first pattern that has named no tensor so far; ok is false where there is none.
func (p *Patterns) Unused() (i int, ok bool) {
	for i, used := range p.used {
		if !used {
			return i, true
		}
	}
	return 0, false
}

const (
	maxPatterns      = 1 << 10
	maxPatternLength = 1 << 10
)

// patterns checks a list of patterns.
func (c *checker) patterns(key string, list []string) {
	if len(list) > maxPatterns {
		c.require(key, false, "%s lists %d patterns, more than %d", key, len(list), maxPatterns)
		return
	}
	for i, pattern := range list {
		c.pattern(indexed(key, i), pattern)
	}
}

// pattern checks one pattern.
func (c *checker) pattern(key, pattern string) {
	_, err := path.Match(pattern, "")
	c.require(key, pattern != "" && err == nil && len(pattern) <= maxPatternLength,
		`%s: %s is no pattern; write the name of a tensor or what names begin with, like fc.weight, fc or "*.bias"`, key, printable.Typed(pattern))
}

// validateInit checks the keys that say which weights training begins from.
func (m *Model) validateInit(c *checker) {
	const key = "model.init"
	c.require(key, m.Init != "" || !c.b.origin.written(key), "%s names no weights; leave it out to begin from the seed", key)
	if m.Init == "" {
		for _, other := range []string{"model.init_digest", "model.init_strict", "model.init_skip"} {
			c.require(other, !c.b.origin.written(other), "%s belongs to %s, which is not written", other, key)
		}
		return
	}
	sum, err := hex.DecodeString(m.InitDigest)
	c.require("model.init_digest", m.InitDigest == "" || err == nil && len(sum) == 32 && m.InitDigest == strings.ToLower(m.InitDigest), "model.init_digest %s must be 64 hexadecimal digits", printable.Typed(m.InitDigest))
	c.patterns("model.init_skip", m.InitSkip)
}
