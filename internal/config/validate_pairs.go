package config

import "strings"

func (d *Data) validatePairs(c *checker) {
	c.require("data.train", d.Train != "" || d.Path != "", "data.train is missing: name a table, or what the names of two files begin with (train for train.en and train.de)")
	c.require("data.source", d.Source != "" && !strings.ContainsAny(d.Source, "/\\"), "data.source is missing: name the column of the sources, or the ending of their file (en for train.en)")
	c.require("data.target", d.Target != "" && !strings.ContainsAny(d.Target, "/\\"), "data.target is missing: name the column of the targets, or the ending of their file (de for train.de)")
	c.require("data.target", d.Target == "" || d.Target != d.Source, "data.target is data.source; name the other side")
	c.oneOf("data.tokens", d.Tokens, []string{TokensWords, TokensCharacters})
	c.require("data.tokenizer", d.Tokenizer == "" || d.Tokens == TokensWords, "data.tokenizer and data.tokens: %s do not go together: leave one of them out", d.Tokens)
	between(c, "data.context", d.Context, 2, 1<<16)
	between(c, "data.target_context", d.TargetContext, 2, 1<<16)
	between(c, "data.vocabulary", d.Vocabulary, 4, 1<<20)
	if d.Path == "" {
		between(c, "data.memory_mib", d.MemoryMiB, 1, 1<<20)
	}
	below(c, "data.skip_bad", d.SkipBad, 0, 1)
}
