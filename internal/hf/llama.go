package hf

import "ringmaster/internal/config"

var llama = family{name: "llama", speaks: true,
	classes: func(*facts) string { return "LlamaForCausalLM" },
	entries: []entry{
		size("num_hidden_layers", "model.depth", 32.0, depthOf, depth),
		size("num_attention_heads", "model.heads", 32.0, headsOf, heads),
		{name: "num_key_value_heads", key: "model.kv_heads", of: func(f *facts) any { return float64(f.keyHeads()) },
			read:  orAsMany("num_key_value_heads", "num_attention_heads", 32),
			adopt: func(m *config.Model, value any) { m.KVHeads, _ = whole(value) }},
		size("hidden_size", "model.width", 4096.0, widthOf, width),
		{name: "head_dim", key: "model.head_width", of: func(f *facts) any { return float64(f.headWidth()) },
			read:  headDim,
			adopt: func(m *config.Model, value any) { m.HeadWidth, _ = whole(value) }},
		size("intermediate_size", "model.hidden", 11008.0, (*facts).hidden, hidden),
		size("max_position_embeddings", "model.positions", 2048.0, positionsOf, positions),
		size("vocab_size", "model.vocabulary", 32000.0, tokensOf, nil),
		number("rms_norm_eps", "model.epsilon", 1e-6, func(m *config.Model) *float64 { return &m.Epsilon }),
		rope(number("rope_theta", "model.rope_theta", 10000, func(m *config.Model) *float64 { return &m.RopeTheta })),
		rope(entry{name: "rope_type", absent: "default", hidden: true, of: func(*facts) any { return "default" }}),
		rope(entry{name: "partial_rotary_factor", absent: 1.0, hidden: true, of: func(*facts) any { return 1.0 }}),
		{name: "tie_word_embeddings", absent: false, key: "model.tied", of: func(f *facts) any { return f.Tied },
			adopt: func(m *config.Model, value any) { m.Tied = value == true }},
		fixed("hidden_act", "silu", "silu"),
		fixed("attention_bias", false, false),
		fixed("mlp_bias", false, false),
	},
	more: func(f *facts) map[string]any {
		return map[string]any{"attention_dropout": f.Dropout, "rope_scaling": nil,
			"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": f.RopeTheta}}
	}}

// orAsMany reads an entry that is as another one where it is null.
func orAsMany(name, of string, absent float64) func(map[string]any) any {
	return func(values map[string]any) any {
		if said := values[name]; said != nil {
			return said
		}
		if said := values[of]; said != nil {
			return said
		}
		return absent
	}
}

// headDim reads the width of a head, which is the width over the heads where the file has none.
func headDim(values map[string]any) any {
	if said := values["head_dim"]; said != nil {
		return said
	}
	width, heads := orAsMany("hidden_size", "", 4096)(values), orAsMany("num_attention_heads", "", 32)(values)
	w, _ := whole(width)
	if h, ok := whole(heads); ok && h > 0 {
		return float64(w / h)
	}
	return nil
}

// rope makes an entry be read from where transformers 5 has it, in rope_parameters, or before it in rope_scaling or beside both. What kind of
// scaling there is was once called type.
func rope(e entry) entry {
	e.read = func(values map[string]any) any {
		for _, group := range []string{"rope_parameters", "rope_scaling"} {
			within, _ := values[group].(map[string]any)
			if said := within[e.name]; said != nil {
				return said
			}
			if said := within["type"]; said != nil && e.name == "rope_type" {
				return said
			}
		}
		return values[e.name]
	}
	return e
}
