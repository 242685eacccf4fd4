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
func (p *Patterns) Match(name string) bool { return p.First(name) >= 0 }

// First is the index of the first pattern that names the tensor; -1 where none does.
func (p *Patterns) First(name string) int {
	first := -1
	for i, pattern := range p.patterns {
		if Matches(pattern, name) {
			p.used[i] = true
			if first < 0 {
				first = i
			}
		}
	}
	return first
}

// At is pattern i.
func (p *Patterns) At(i int) string { return p.patterns[i] }

// Unused are the indices of the patterns that have named no tensor so far.
func (p *Patterns) Unused() (unused []int) {
	for i, used := range p.used {
		if !used {
			unused = append(unused, i)
		}
	}
	return unused
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

// validate checks the keys of adapters.
func (l *LoRA) validate(c *checker) {
	if !c.b.origin.written("model.lora") {
		return
	}
	if c.present("model.lora.rank", "say how many dimensions the adapters have, like 8") {
		between(c, "model.lora.rank", l.Rank, 1, 1<<16)
	}
	positive(c, "model.lora.alpha", l.Alpha, 1e6)
	below(c, "model.lora.dropout", l.Dropout, 0, 1)
	if c.present("model.lora.targets", "name the linear layers that get adapters, like [\"*.c_attn\"]") {
		c.require("model.lora.targets", len(l.Targets) > 0, "model.lora.targets names no layer")
	}
	c.patterns("model.lora.targets", l.Targets)
	c.patterns("model.lora.train", l.Train)
}

// validateGroups checks the groups of parameters.
func (p *Optimizer) validateGroups(c *checker) {
	const key = "train.optimizer.groups"
	if len(p.Groups) > maxPatterns {
		c.require(key, false, "%s lists %d groups, more than %d", key, len(p.Groups), maxPatterns)
		return
	}
	for i, g := range p.Groups {
		at := indexed(key, i)
		if c.present(at+".match", "say which parameters are in the group, like match: layer4") {
			c.pattern(at+".match", g.Match)
		}
		c.require(at+".lr_factor", g.LRFactor > 0 && g.LRFactor <= 1e6, "%s.lr_factor must be above 0 and at most 1e6, not %v; what is not to move belongs into model.freeze", at, g.LRFactor)
		between(c, at+".weight_decay", g.WeightDecay, 0, 1e6)
	}
}
