package hf

import (
	"cmp"

	"ringmaster/internal/config"
	"ringmaster/internal/model"
)

// family is one of transformers' families of models: its name in config.json and the entries there that its computation depends on.
type family struct {
	name    string
	classes func(*facts) string // transformers' class
	entries []entry
	more    func(*facts) map[string]any // entries that are written, and not compared
	speaks  bool                        // it generates text, so a generation_config.json goes with it
}

// entry is one entry of config.json. It is written from what the model has, compared with it, and taken over into a job that leaves it open.
type entry struct {
	name   string
	absent any                              // what transformers takes where the file does not have it
	read   func(values map[string]any) any  // what the file says, where that is not the entry itself
	of     func(f *facts) any               // what the model has
	key    string                           // of the job; "": the model can only be so
	hidden bool                             // the model's value is not written: others take it where the entry is absent
	adopt  func(m *config.Model, value any) // takes the value over; nil: it is the data's
}

// facts is what a family's entries depend on.
type facts struct {
	config.Model
	tokens, positions, classes int
	labels                     []string // names of the classes; may be empty
	special                    special
}

// factsOf finds the sizes that a job's model has from its data in the shapes of its tensors. A llama has no table of positions.
func factsOf(job *config.Job, m *model.Model) *facts {
	f := &facts{Model: job.Model}
	if f.Kind == config.ModelLLaMA {
		f.positions = cmp.Or(f.Positions, m.Context())
	}
	for _, t := range m.Params() {
		switch t.Name {
		case "transformer.wte.weight", "model.embed_tokens.weight", "bert.embeddings.word_embeddings.weight", "shared.weight":
			f.tokens = t.Shape[0]
		case "transformer.wpe.weight", "bert.embeddings.position_embeddings.weight":
			f.positions = t.Shape[0]
		case "classifier.weight", "classifier.1.weight":
			f.classes = t.Shape[0]
		}
	}
	return f
}

func (f *facts) hidden() int { return cmp.Or(f.Hidden, 4*f.Width) }

// keyHeads is how many heads of keys and values there are.
func (f *facts) keyHeads() int { return cmp.Or(f.KVHeads, f.Heads) }

// headWidth is the width of a head's queries.
func (f *facts) headWidth() int { return cmp.Or(f.HeadWidth, f.Width/max(1, f.Heads)) }

// size is an entry of a whole number that a key of the job says.
func size(name, key string, absent any, of func(*facts) int, field func(*config.Model) *int) entry {
	e := entry{name: name, absent: absent, key: key, of: func(f *facts) any { return float64(of(f)) }}
	if field != nil {
		e.adopt = func(m *config.Model, value any) {
			if n, ok := whole(value); ok {
				*field(m) = n
			}
		}
	}
	return e
}

// number is an entry of any number that a key of the job says.
func number(name, key string, absent float64, field func(*config.Model) *float64) entry {
	return entry{name: name, absent: absent, key: key, of: func(f *facts) any { return *field(&f.Model) },
		adopt: func(m *config.Model, value any) {
			if x, is := value.(float64); is {
				*field(m) = x
			}
		}}
}

// fixed is an entry of which the model knows one value.
func fixed(name string, absent, value any) entry {
	return entry{name: name, absent: absent, of: func(*facts) any { return value }}
}

func depth(m *config.Model) *int     { return &m.Depth }
func heads(m *config.Model) *int     { return &m.Heads }
func width(m *config.Model) *int     { return &m.Width }
func hidden(m *config.Model) *int    { return &m.Hidden }
func headWidth(m *config.Model) *int { return &m.HeadWidth }
func positions(m *config.Model) *int { return &m.Positions }

func tokensOf(f *facts) int    { return f.tokens }
func depthOf(f *facts) int     { return f.Depth }
func headsOf(f *facts) int     { return f.Heads }
func widthOf(f *facts) int     { return f.Width }
func positionsOf(f *facts) int { return f.positions }

// activation is the entry of that name that says the function between a block's two linear layers.
func activation(name string, absent any) entry {
	names := map[any]string{"gelu_new": config.ActivationGELUNew, "gelu_pytorch_tanh": config.ActivationGELUNew, "gelu_fast": config.ActivationGELUNew,
		"gelu": config.ActivationGELU, "gelu_python": config.ActivationGELU}
	return entry{name: name, absent: absent, key: "model.activation", of: func(f *facts) any { return f.Activation },
		read: func(values map[string]any) any {
			said := values[name]
			if s, is := said.(string); is {
				if known, is := names[s]; is {
					return known
				}
			}
			return said
		},
		adopt: func(m *config.Model, value any) {
			if s, is := value.(string); is {
				m.Activation = s
			}
		}}
}

// families are the families by the kinds of models here.
var families = map[string]*family{config.ModelGPT: &gpt2, config.ModelLLaMA: &llama, config.ModelBERT: &bert, config.ModelT5: &t5}

var gpt2 = family{name: "gpt2", speaks: true,
	classes: func(*facts) string { return "GPT2LMHeadModel" },
	entries: []entry{
		size("n_layer", "model.depth", 12.0, depthOf, depth),
		size("n_head", "model.heads", 12.0, headsOf, heads),
		size("n_embd", "model.width", 768.0, widthOf, width),
		{name: "n_inner", key: "model.hidden", of: func(f *facts) any { return float64(f.hidden()) },
			read:  orFourTimes("n_inner", "n_embd", 768),
			adopt: func(m *config.Model, value any) { *hidden(m), _ = whole(value) }},
		size("n_positions", "model.positions", 1024.0, positionsOf, positions),
		size("vocab_size", "model.vocabulary", 50257.0, tokensOf, nil),
		activation("activation_function", "gelu_new"),
		{name: "bias", absent: true, key: "model.bias", of: func(f *facts) any { return f.Bias },
			adopt: func(m *config.Model, value any) { m.Bias, _ = value.(bool) }},
		fixed("layer_norm_epsilon", 1e-5, 1e-5),
		fixed("tie_word_embeddings", true, true),
		fixed("scale_attn_weights", true, true),
		fixed("scale_attn_by_inverse_layer_idx", false, false),
		fixed("add_cross_attention", false, false),
	},
	more: func(f *facts) map[string]any {
		return map[string]any{"attn_pdrop": f.Dropout, "embd_pdrop": f.Dropout, "resid_pdrop": f.Dropout}
	}}

// orFourTimes reads an entry that is four times another where it is null.
func orFourTimes(name, of string, absent float64) func(map[string]any) any {
	return func(values map[string]any) any {
		if said := values[name]; said != nil {
			return said
		}
		w, is := values[of].(float64)
		if !is {
			w = absent
		}
		return 4 * w
	}
}

var bert = family{name: "bert",
	classes: func(f *facts) string {
		if f.classes > 0 {
			return "BertForSequenceClassification"
		}
		return "BertForMaskedLM"
	},
	entries: []entry{
		size("num_hidden_layers", "model.depth", 12.0, depthOf, depth),
		size("num_attention_heads", "model.heads", 12.0, headsOf, heads),
		size("hidden_size", "model.width", 768.0, widthOf, width),
		size("intermediate_size", "model.hidden", 3072.0, (*facts).hidden, hidden),
		size("max_position_embeddings", "model.positions", 512.0, positionsOf, positions),
		size("vocab_size", "model.vocabulary", 30522.0, tokensOf, nil),
		activation("hidden_act", "gelu"),
		fixed("layer_norm_eps", 1e-12, 1e-12),
		fixed("type_vocab_size", 2.0, 2.0),
		fixed("position_embedding_type", "absolute", "absolute"),
		fixed("tie_word_embeddings", true, true),
		fixed("is_decoder", false, false),
		fixed("add_cross_attention", false, false),
	},
	more: func(f *facts) map[string]any {
		more := map[string]any{"hidden_dropout_prob": f.Dropout, "attention_probs_dropout_prob": f.Dropout}
		if f.classes > 0 {
			more["id2label"], more["label2id"], more["problem_type"] = f.named(), f.numbered(), "single_label_classification"
		}
		return more
	}}

var t5 = family{name: "t5", speaks: true,
	classes: func(*facts) string { return "T5ForConditionalGeneration" },
	entries: []entry{
		size("num_layers", "model.depth", 6.0, depthOf, depth),
		{name: "num_decoder_layers", key: "model.depth", of: func(f *facts) any { return float64(f.Depth) }, read: func(values map[string]any) any {
			if said := values["num_decoder_layers"]; said != nil {
				return said
			}
			return values["num_layers"]
		}, absent: 6.0},
		size("num_heads", "model.heads", 8.0, headsOf, heads),
		size("d_model", "model.width", 512.0, widthOf, width),
		size("d_kv", "model.head_width", 64.0, (*facts).headWidth, headWidth),
		size("d_ff", "model.hidden", 2048.0, (*facts).hidden, hidden),
		size("relative_attention_num_buckets", "model.buckets", 32.0, func(f *facts) int { return f.Buckets }, func(m *config.Model) *int { return &m.Buckets }),
		size("relative_attention_max_distance", "model.distance", 128.0, func(f *facts) int { return f.Distance }, func(m *config.Model) *int { return &m.Distance }),
		size("vocab_size", "model.vocabulary", 32128.0, tokensOf, nil),
		{name: "scale_decoder_outputs", absent: true, key: "model.tied", of: func(f *facts) any { return f.Tied }, read: func(values map[string]any) any {
			if said, is := values["scale_decoder_outputs"]; is { // of transformers 5
				return said
			}
			return values["tie_word_embeddings"]
		}, adopt: func(m *config.Model, value any) { m.Tied = value != false }},
		fixed("feed_forward_proj", "relu", "relu"),
		fixed("layer_norm_epsilon", 1e-6, 1e-6),
	},
	more: func(f *facts) map[string]any {
		more := map[string]any{"dropout_rate": f.Dropout, "tie_word_embeddings": f.Tied, "is_encoder_decoder": true,
			"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1} // of words and characters
		if pad, is := f.special["pad_token"]; is { // which targets begin with
			more["decoder_start_token_id"], more["pad_token_id"] = pad.id, pad.id
		}
		if end, is := f.special["eos_token"]; is {
			more["eos_token_id"] = end.id
		}
		return more
	}}
