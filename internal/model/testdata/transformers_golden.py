"""Records what Hugging Face's transformers compute for small forms of their models into transformers.json beside this file, as golden.py does.

usage: python3 transformers_golden.py        (any interpreter with torch, numpy and transformers)
"""
import json
import os

import torch
import transformers

from golden import choose, record


class MaskedLM(transformers.BertForMaskedLM):
    def forward(self, tokens):
        return super().forward(input_ids=tokens).logits


class Classifier(transformers.BertForSequenceClassification):
    """Reads whole samples, or tokens with their segments of which only the first lengths[n] count."""

    def forward(self, inputs):
        if not isinstance(inputs, tuple):
            return super().forward(input_ids=inputs).logits
        tokens, segments, lengths = inputs
        mask = (torch.arange(tokens.shape[1])[None, :] < torch.tensor(lengths)[:, None]).long()
        return super().forward(input_ids=tokens, token_type_ids=segments, attention_mask=mask).logits


def bert(kind, labels, places=9):
    """Without a token for padding, whose embedding would get no gradient. Adam is left out: gradients of the key biases are zero but for rounding."""
    torch.manual_seed(0)
    return kind(transformers.BertConfig(
        vocab_size=13, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=places,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=labels, pad_token_id=None, attn_implementation="eager"))


class Translator(transformers.T5ForConditionalGeneration):
    """Reads sources of which only the first lengths[n] tokens count."""

    def forward(self, inputs):
        source, shifted, lengths = inputs
        mask = (torch.arange(source.shape[1])[None, :] < torch.tensor(lengths)[:, None]).long()
        return super().forward(input_ids=source, attention_mask=mask, decoder_input_ids=shifted).logits


def t5(tied):
    """Untied it is T5 1.1's head: weights of its own, and outputs that are not scaled."""
    torch.manual_seed(0)
    model = Translator(transformers.T5Config(
        vocab_size=13, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=3, relative_attention_num_buckets=8, relative_attention_max_distance=7,
        dropout_rate=0.0, tie_word_embeddings=tied))
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.zeros(13, 16))
    return model


class Continuer(transformers.LlamaForCausalLM):
    def forward(self, tokens):
        return super().forward(input_ids=tokens).logits


def llama(key_heads, tied, **more):
    torch.manual_seed(0)
    return Continuer(transformers.LlamaConfig(
        vocab_size=13, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=key_heads, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0}, tie_word_embeddings=tied, attn_implementation="eager", **more))


def fillings(model):
    """The pipeline's guesses for a hidden letter."""
    plain = transformers.BertForMaskedLM(model.config)
    plain.load_state_dict(model.state_dict())
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("abcdefgh")
    tokenizer = transformers.BertTokenizer(vocab={token: id for id, token in enumerate(tokens)})
    pipe = transformers.pipeline("fill-mask", model=plain.eval(), tokenizer=tokenizer, top_k=5)
    text = "a b [MASK] d"
    guesses = [{"id": g["token"], "score": g["score"], "text": g["sequence"]} for g in pipe(text)]
    return {"ids": tokenizer(text)["input_ids"], "guesses": guesses}


def buckets(bidirectional, count, distance):
    """The bucket of each relative position from -300 to 300."""
    places = torch.arange(-300, 301)
    attention = transformers.models.t5.modeling_t5.T5Attention
    return [int(b) for b in attention._relative_position_bucket(places, bidirectional, count, distance)]


def main():
    torch.set_num_threads(1)
    masked = bert(MaskedLM, 2)
    models = [
        record("bert", masked, choose((3, 9), 500, 13), choose((3, 9), 501, 13), optimizers=("sgd",)),
        record("bert classes", bert(Classifier, 5), choose((3, 9), 500, 13), choose((3,), 501, 5), optimizers=("sgd",)),
    ]
    padded = (choose((3, 12), 500, 13), choose((3, 12), 502, 2), [12, 5, 8])
    models.append(record("bert padded", bert(Classifier, 5, 20), padded, choose((3,), 501, 5), optimizers=("sgd",)))
    pairs = (choose((3, 12), 500, 13), choose((3, 9), 502, 13), [12, 5, 8])
    translators = {"t5": t5(True), "t5 untied": t5(False)}
    models += [record(name, model, pairs, choose((3, 9), 501, 13), optimizers=("sgd",)) for name, model in translators.items()]
    models += [record(name, model, choose((3, 9), 500, 13), choose((3, 9), 501, 13), optimizers=("sgd", "adam", "adamw"))
               for name, model in {"llama": llama(2, False), "llama tied": llama(1, True, head_dim=6)}.items()]
    places = [{"bidirectional": b, "buckets": n, "distance": d, "of": buckets(b, n, d)} for n, d in ((32, 128), (8, 7), (16, 300), (64, 256)) for b in (True, False)]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "transformers.json")
    with open(path, "w") as out:
        out.write('{"torch": "%s", "transformers": "%s", "buckets": %s, "fillings": %s, "models": [\n%s\n]}\n' % (
            torch.__version__, transformers.__version__, json.dumps(places), json.dumps(fillings(masked)), ",\n".join(json.dumps(m) for m in models)))


if __name__ == "__main__":
    main()
