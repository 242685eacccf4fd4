package hf

import (
	"fmt"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/model"
)

// value is what the file says of an entry.
func (c *Config) value(e *entry) any {
	var said any
	if e.read != nil {
		said = e.read(c.values)
	} else {
		said = c.values[e.name]
	}
	if said == nil {
		return e.absent
	}
	return said
}

// Settle takes over into a job what its file leaves open and the config.json of its model.init says: the model's sizes, its activation, its
// ties. Errors name the key.
func Settle(job *config.Job) error {
	m := &job.Model
	if m.Init == "" || families[m.Kind] == nil {
		return nil
	}
	c, err := ReadConfig(config.ExpandHome(m.Init))
	if c == nil || err != nil {
		return config.Wrap("model.init", err)
	}
	of, err := c.family(m)
	if err != nil {
		return config.Wrap("model.init", err)
	}
	settled := *job
	for i := range of.entries {
		if e := &of.entries[i]; e.adopt != nil && !job.Written(e.key) {
			e.adopt(&settled.Model, c.value(e))
		}
	}
	if _, err := config.Decode(settled.Encode()); err != nil {
		return config.Wrap("model.init", fmt.Errorf("%s: %w", c.path, err))
	}
	*job = settled
	return nil
}

// Check compares the config.json of a job's model.init, if there is one, with the model that the job builds. The error names the key and all
// that differs.
func Check(job *config.Job, m *model.Model) error {
	if job.Model.Init == "" || families[job.Model.Kind] == nil {
		return nil
	}
	c, err := ReadConfig(config.ExpandHome(job.Model.Init))
	if c == nil || err != nil {
		return config.Wrap("model.init", err)
	}
	of, err := c.family(&job.Model)
	if err != nil {
		return config.Wrap("model.init", err)
	}
	return config.Wrap("model.init", c.compare(of, factsOf(job, m), len(job.Model.InitSkip) > 0))
}

// compare says what differs. The number of classes is compared unless tensors of the file are not taken.
func (c *Config) compare(of *family, f *facts, skips bool) error {
	var differences []string
	for i := range of.entries {
		e := &of.entries[i]
		has, said := e.of(f), c.value(e)
		if has == said {
			continue
		}
		line := fmt.Sprintf("%s is %s, and the model has %s", e.name, shown(said), shown(has))
		switch {
		case e.name == "vocab_size" && f.Vocabulary == 0:
			line = fmt.Sprintf("vocab_size is %s, and the data has %d tokens: read them by the folder's own tokenizer or, if the model's vocabulary is padded, set model.vocabulary: %s", shown(said), f.tokens, shown(said))
		case e.key != "":
			line += fmt.Sprintf(" (%s)", e.key)
		}
		differences = append(differences, line)
	}
	if n, said := c.classes(); said && f.classes > 0 && n != f.classes && !skips {
		differences = append(differences, fmt.Sprintf("it has %d classes, and the data has %d: take another head by model.init_skip: [classifier]", n, f.classes))
	}
	if len(differences) == 0 {
		return nil
	}
	return fmt.Errorf("%s is of another model: %s", c.path, strings.Join(differences, "; "))
}

// classes is how many classes the file says; not of a file that does not say.
func (c *Config) classes() (n int, said bool) {
	if names, is := c.values["id2label"].(map[string]any); is {
		return len(names), true
	}
	return whole(c.values["num_labels"])
}
