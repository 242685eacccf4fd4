package main

import (
	"fmt"

	"ringmaster/internal/config"
)

// ability is what a trained model does, in words that follow its job's name, and the command that asks it for that.
type ability struct{ does, by string }

// ability settles what the model does by its data and its loss.
func (t *trained) ability() ability {
	classes := t.job.Train.Loss == config.LossCrossEntropy
	switch d := t.data; {
	case d.Captions != nil:
		return ability{"draws pictures of captions", "ringmaster generate --prompt TEXT --out FILE.png"}
	case d.Lexicon != nil:
		return ability{"answers texts by texts", "ringmaster generate --prompt TEXT"}
	case d.ClassifiesTexts() && classes:
		return ability{"names the class of a text", "ringmaster predict --prompt TEXT"}
	case d.ClassifiesTexts():
		return ability{"computes numbers from texts", "ringmaster predict --input FILE"}
	case t.job.Data.Mask > 0:
		return ability{"guesses hidden tokens", "ringmaster predict --prompt TEXT, with [MASK] or the tokenizer's mask in it"}
	case d.Vocabulary != nil:
		return ability{"continues texts", "ringmaster generate --prompt TEXT"}
	case d.ShowsPictures() && classes:
		return ability{"names what pictures show", "ringmaster predict --photo FILE"}
	case d.ShowsPictures():
		return ability{"computes numbers from pictures", "ringmaster predict --input FILE"}
	}
	return ability{"answers rows", "ringmaster predict --input FILE"}
}

// refuse says that the model is not for what a flag asks, and what it is for.
func (t *trained) refuse(flag string) error {
	a := t.ability()
	return wrong(fmt.Errorf("%s: job %s %s: ask it by %s", flag, t.job.Name, a.does, a.by))
}
