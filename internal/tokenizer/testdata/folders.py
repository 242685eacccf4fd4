"""Writes folders.json.gz: folders as transformers has them without tokenizer.json, and the ids that transformers gives to lines by them.

    python folders.py

Needs transformers, tokenizers, sentencepiece and ../shared/data beside the repository. The random lines are those of lines.py.
"""
import base64
import gzip
import io
import json
import os
import sys
import tempfile

import sentencepiece as spm
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from lines import fuzzed

here = os.path.dirname(os.path.abspath(__file__))
shared = os.environ.get("SHARED", os.path.join(here, "../../../../shared/data"))
SPECIALS = ["<extra_id_0> a <extra_id_1>b", " x </s> y<pad>", "<|endoftext|>Hello<|endoftext|> there", "a  [MASK] b [SEP]c", "Caf\u00e9 Stra\u00dfe IS NOT lower", "",
            "one word, wordy word <pad> WORD sWORD", "\u4e2d\u6587 \uff21\uff11 fi \ufb01", "tab\tand\nline  "]


def text(value):
    return json.dumps(value, ensure_ascii=False).encode()


def corpus():
    with open(os.path.join(shared, "sentencepiece/botchan.txt"), encoding="utf-8") as f:
        return [l for l in f.read().split("\n")[:2000] if l]


def pieces(lines):
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "rules.tsv"), "w", encoding="utf-8") as f:
            f.write("FF21\t41\nFF11\t31\nFB01\t66 69\n3000\t20\n9\t20\n")
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, vocab_size=300, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2,
                                       character_coverage=0.98, user_defined_symbols=["WORD"], control_symbols=["[MASK]"], normalization_rule_tsv=os.path.join(d, "rules.tsv"))
    return out.getvalue()


def pairs(lines):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False))
    model = json.loads(t.to_str())["model"]
    merges = "#version: 0.2\n" + "".join(a + " " + b + "\n" for a, b in model["merges"])
    return {"vocab.json": text(model["vocab"]), "merges.txt": merges.encode()}


def words(lines, capitals):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(lines if capitals else [l.lower() for l in lines], trainers.WordPieceTrainer(vocab_size=400, limit_alphabet=90, special_tokens=special, show_progress=False))
    by_id = sorted(t.get_vocab().items(), key=lambda item: item[1])
    return {"vocab.txt": "".join(token + "\n" for token, _ in by_id).encode()}


def folders():
    lines = corpus()
    spiece, gpt2 = pieces(lines), pairs(lines)
    cased, uncased = words(lines, True), words(lines, False)
    n = len(json.loads(gpt2["vocab.json"]))

    def added(content, special, **more):
        return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": special, **more}

    return {
        "t5": {"spiece.model": spiece, "config.json": text({"model_type": "t5"})},
        "t5, of a few sentinels": {"spiece.model": spiece, "tokenizer_config.json": text({
            "tokenizer_class": "T5Tokenizer", "extra_ids": 3, "additional_special_tokens": ["<extra_id_%d>" % i for i in range(3)], "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
            "added_tokens_decoder": {"0": added("<pad>", True), "303": added("word", False, single_word=True, normalized=True)}})},
        "gpt2": {**gpt2, "config.json": text({"model_type": "gpt2"})},
        "gpt2, with added tokens": {**gpt2, "config.json": text({"model_type": "gpt2"}), "tokenizer_config.json": text({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "add_bos_token": False}),
                                    "added_tokens.json": text({"word": n + 1, "<pad>": n}),
                                    "special_tokens_map.json": text({"pad_token": "<pad>", "sep_token": {"content": "[SEP]", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}})},
        "bert, cased by its settings": {**uncased, "config.json": text({"model_type": "bert"}), "tokenizer_config.json": text({"do_lower_case": False, "tokenize_chinese_chars": False})},
        "bert, of capitals, in lower case": {**cased, "config.json": text({"model_type": "bert"}), "tokenizer_config.json": text({
            "do_lower_case": True, "strip_accents": False, "tokenizer_class": "BertTokenizer",
            "added_tokens_decoder": {"4": added("[MASK]", True, lstrip=True)}})},
    }


def main():
    lines = SPECIALS + fuzzed(120, 11)
    out = {"lines": lines, "folders": {}}
    for name, files in folders().items():
        with tempfile.TemporaryDirectory() as d:
            for file, content in files.items():
                with open(os.path.join(d, file), "wb") as f:
                    f.write(content)
            t = AutoTokenizer.from_pretrained(d)
            out["folders"][name] = {"files": {file: base64.b64encode(content).decode() for file, content in files.items()}, "tokens": len(t),
                                    "ids": [t(line).input_ids for line in lines], "plain": [t(line, add_special_tokens=False).input_ids for line in lines],
                                    "pairs": [t(a, b).input_ids if a and b else None for a, b in zip(lines[:20], lines[1:])]}  # transformers takes a pair with nothing in it as one text
        print(name, type(t).__name__, len(t), file=sys.stderr)
    with gzip.GzipFile(os.path.join(here, "folders.json.gz"), "wb", mtime=0) as f:
        f.write(json.dumps(out, ensure_ascii=False).encode())


main()
