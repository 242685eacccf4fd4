package tokenizer

import "ringmaster/internal/printable"

func (t *Tokenizer) readPost(n node, depth int) (postProcessor, error) {
	s, kind, err := settingsOf(n, "post-processor")
	if err != nil {
		return nil, err
	}
	switch kind {
	case "Sequence":
		all, err := sequence(s, "processors", depth, t.readPost)
		for i, p := range all {
			if _, ok := p.(*template); ok && i < len(all)-1 {
				return nil, n.errorf("a post-processor after one that adds special tokens is not implemented")
			}
		}
		return postProcessors(all), err
	case "ByteLevel":
		trim, prefix := s.bool("trim_offsets", true), s.bool("add_prefix_space", true)
		s.bool("use_regex", true)
		if !trim {
			return postProcessors{}, s.done()
		}
		return trimmer{prefix}, s.done()
	case "TemplateProcessing":
		return readTemplate(s)
	case "BertProcessing", "RobertaProcessing":
		return readAround(s, kind == "RobertaProcessing")
	}
	return nil, n.errorf("post-processor %s is not implemented", printable.Typed(kind))
}

// named is a special token of BERT's and RoBERTa's processing.
type named struct {
	token string
	id    int32
}

func readNamed(n node) (named, error) {
	var out named
	place := 0
	err := n.items(func(n node) (err error) {
		switch place++; place {
		case 1:
			out.token, err = n.string()
		case 2:
			var id int
			id, err = n.integer(maxTokens - 1)
			out.id = int32(id)
		default:
			err = n.errorf("a special token is its text and its id, and nothing else")
		}
		return err
	})
	if err == nil && place < 2 {
		err = n.errorf("a special token is its text and its id")
	}
	return out, err
}

func readAround(s *settings, roberta bool) (postProcessor, error) {
	s.required("cls", "sep")
	cls, sep := setting(s, "cls", named{}, readNamed), setting(s, "sep", named{}, readNamed)
	if !roberta {
		return around(cls.token, cls.id, sep.token, sep.id, 1, true), s.done()
	}
	post := around(cls.token, cls.id, sep.token, sep.id, 0, false)
	// RoBERTa has a second separator between two texts.
	between := slot{-1, 0, []int32{sep.id}, []string{sep.token}}
	post.pair = append(append(append([]slot{}, post.pair[:3]...), between), post.pair[3:]...)
	trim, prefix := s.bool("trim_offsets", true), s.bool("add_prefix_space", true)
	if trim {
		return postProcessors{trimmer{prefix}, post}, s.done()
	}
	return post, s.done()
}

// readTemplate reads a TemplateProcessing: slots for the texts and special tokens, and the special tokens' ids.
func readTemplate(s *settings) (postProcessor, error) {
	s.required("single", "pair", "special_tokens")
	if s.err != nil {
		return nil, s.err
	}
	special := map[string]slot{}
	err := s.get("special_tokens").each(func(key, value node) error {
		name, err := key.string()
		if err != nil {
			return err
		}
		one, err := readSpecial(value)
		special[name] = one
		return err
	})
	if err != nil {
		return nil, err
	}
	t := &template{}
	if t.single, err = readSlots(s.get("single"), special, 1); err != nil {
		return nil, err
	}
	if t.pair, err = readSlots(s.get("pair"), special, 2); err != nil {
		return nil, err
	}
	return t, s.done()
}

func readSpecial(n node) (slot, error) {
	out := slot{text: -1}
	s, _, err := settingsOf(n, "a special token")
	if err != nil {
		return out, err
	}
	s.required("ids", "tokens")
	if s.err != nil {
		return out, s.err
	}
	s.get("id")
	err = s.get("ids").items(func(n node) error {
		id, err := n.integer(maxTokens - 1)
		out.ids = append(out.ids, int32(id))
		return err
	})
	if err != nil {
		return out, err
	}
	err = s.get("tokens").items(func(n node) error {
		token, err := n.string()
		out.tokens = append(out.tokens, token)
		return err
	})
	if err == nil && (len(out.ids) != len(out.tokens) || len(out.ids) > 64) {
		err = n.errorf("a special token has %d ids and %d tokens; there must be as many of both, and at most 64", len(out.ids), len(out.tokens))
	}
	if err != nil {
		return out, err
	}
	return out, s.done()
}

// readSlots reads the slots of a template for a number of texts.
func readSlots(n node, special map[string]slot, texts int) ([]slot, error) {
	var slots []slot
	seen := [2]bool{}
	err := n.items(func(n node) error {
		o, err := n.object()
		if err != nil {
			return err
		}
		if len(slots) == 64 {
			return n.errorf("a template has more than 64 slots")
		}
		which := "Sequence"
		if o.has("SpecialToken") {
			which = "SpecialToken"
		} else if !o.has(which) {
			return n.errorf("a slot of a template is a Sequence or a SpecialToken")
		}
		s, _, err := settingsOf(o.get(which), "a slot")
		if err != nil {
			return err
		}
		s.required("id")
		id, kind := s.text("id", ""), int32(s.int("type_id", 0, 1<<16))
		if err := s.done(); err != nil {
			return err
		}
		if which == "Sequence" {
			text := map[string]int{"A": 0, "B": 1}
			place, ok := text[id]
			if !ok || place >= texts || seen[place] {
				return n.errorf("sequence %s has no place in a template for %d", printable.Typed(id), texts)
			}
			seen[place] = true
			slots = append(slots, slot{text: place, kind: kind})
			return nil
		}
		one, ok := special[id]
		if !ok {
			return n.errorf("special token %s is not among the special_tokens", printable.Typed(id))
		}
		one.kind = kind
		slots = append(slots, one)
		return nil
	})
	if err == nil && (!seen[0] || texts == 2 && !seen[1]) {
		err = n.errorf("a template for %d leaves a text out", texts)
	}
	return slots, err
}
