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
    def forward(self, tokens):
        return super().forward(input_ids=tokens).logits


def bert(kind, labels):
    """Without a token for padding, whose embedding would get no gradient. Adam is left out: gradients of the key biases are zero but for rounding."""
    torch.manual_seed(0)
    return kind(transformers.BertConfig(
        vocab_size=13, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=9,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=labels, pad_token_id=None, attn_implementation="eager"))


def main():
    torch.set_num_threads(1)
    models = [
        record("bert", bert(MaskedLM, 2), choose((3, 9), 500, 13), choose((3, 9), 501, 13), optimizers=("sgd",)),
        record("bert classes", bert(Classifier, 5), choose((3, 9), 500, 13), choose((3,), 501, 5), optimizers=("sgd",)),
    ]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "transformers.json")
    with open(path, "w") as out:
        out.write('{"torch": "%s", "transformers": "%s", "models": [\n%s\n]}\n' % (
            torch.__version__, transformers.__version__, ",\n".join(json.dumps(m) for m in models)))


if __name__ == "__main__":
    main()
