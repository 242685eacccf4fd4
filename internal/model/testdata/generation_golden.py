"""Records which tokens Hugging Face's transformers write with small forms of their models into ../../generate/testdata/transformers.json.

usage: python3 generation_golden.py        (any interpreter with torch, numpy and transformers)

Parameters are draws (see golden.py) whose seed is the CRC-32 of the parameter's name. Prompts are draws too.
"""
import json
import math
import os
import zlib

import torch
import transformers

from golden import choose, draw

VOCABULARY, CONTEXT, MOST = 29, 40, 20

# How texts are written: what generate() is given.
WAYS = [
    dict(),
    dict(repetition_penalty=1.7),
    dict(num_beams=3),
    dict(num_beams=4, length_penalty=2.0, early_stopping=True, num_return_sequences=3),
    dict(num_beams=4, length_penalty=0.0, early_stopping="never", num_return_sequences=4),
    dict(num_beams=3, length_penalty=-1.0, early_stopping="never"),
    dict(num_beams=2, length_penalty=0.6, repetition_penalty=1.3, num_return_sequences=2),
    dict(num_beams=5, early_stopping=True, num_return_sequences=5),
    dict(num_beams=3, eos_token_id=[1, 15], num_return_sequences=3),
    dict(num_beams=4, eos_token_id=[1, 10, 26], early_stopping="never", length_penalty=1.5, num_return_sequences=2),
]


def fill(model, gain):
    """Where a weight is kept as (in, out), it is drawn as (out, in)."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            seed = zlib.crc32(name.encode())
            if p.dim() == 1:
                p.copy_(draw(p.shape, seed, 0.4, 1.0 if name.endswith("weight") else 0.0))
                continue
            turned = isinstance(model, transformers.GPT2LMHeadModel) and ".h." in name
            shape = tuple(reversed(p.shape)) if turned else tuple(p.shape)
            values = draw(shape, seed, gain * 2 * math.sqrt(3 / shape[1]))
            p.copy_(values.T if turned else values)
    return model.eval()


def gpt2():
    return fill(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=24, n_layer=2, n_head=3, activation_function="gelu",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=1)), 2.0)


def llama():
    return fill(transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=1)), 2.0)


def t5(tied):
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(
        vocab_size=VOCABULARY, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=3, relative_attention_num_buckets=8,
        relative_attention_max_distance=7, dropout_rate=0.0, tie_word_embeddings=tied))
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.zeros(VOCABULARY, 24))
    return fill(model, 2.0)


def write(model, prompts, way):
    """The texts of each prompt, without the prompt and what follows the end; and the scores of beams."""
    found = []
    way = {"eos_token_id": [1], **way}
    for prompt in prompts:
        out = model.generate(prompt[None], do_sample=False, max_new_tokens=MOST, pad_token_id=0, return_dict_in_generate=True,
                             output_scores=True, **({} if model.config.is_encoder_decoder else {"attention_mask": torch.ones_like(prompt[None])}),
                             **({"decoder_start_token_id": 0} if model.config.is_encoder_decoder else {}), **way)
        skip = 1 if model.config.is_encoder_decoder else len(prompt)
        texts = []
        for k, row in enumerate(out.sequences):
            ids = [int(i) for i in row[skip:]]
            ends = [i for i, token in enumerate(ids) if token in way["eos_token_id"]]
            ended = len(ends) > 0
            scores = getattr(out, "sequences_scores", None)
            texts.append({"tokens": ids[:ends[0]] if ended else ids, "ended": ended, "score": None if scores is None else float(scores[k])})
        found.append(texts)
    return found


def main():
    torch.set_num_threads(1)
    prompts = [choose((n,), 900 + n, VOCABULARY) for n in (1, 3, 7, 12, 19)]
    models = []
    for name, model in (("gpt", gpt2()), ("llama", llama()), ("t5", t5(True)), ("t5 untied", t5(False))):
        models.append({"name": name, "ways": [{"way": way, "texts": write(model, prompts, way)} for way in WAYS]})
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "generate", "testdata", "transformers.json"), "w") as out:
        out.write('{"torch": "%s", "transformers": "%s", "prompts": %s, "models": [\n%s\n]}\n' % (
            torch.__version__, transformers.__version__, json.dumps([p.tolist() for p in prompts]), ",\n".join(json.dumps(m) for m in models)))


if __name__ == "__main__":
    main()
