"""Records what the tokenizers, transformers and sentencepiece libraries give, for the tests of this package.

Run it from this folder: python record.py ../../../../shared/data [--make]. With --make it also makes the small tokenizers anew.
Offsets are in characters. A line's record is "id,id,...;from-to,from-to,...": its SHA-256s are joined by chunks of lines.
"""
import gzip, hashlib, json, os, sys
import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordLevel, WordPiece

from lines import fuzzed

shared = sys.argv[1]


def read(path):
    opened = gzip.open(path, "rt", encoding="utf-8", newline="\n") if path.endswith(".gz") else open(path, encoding="utf-8", newline="\n")
    with opened as f:
        return f.read().split("\n")[:-1]


def texts():
    """20,000 lines of the shared texts."""
    out = []
    for name, count in [("multi30k/train.en.gz", 6000), ("multi30k/train.de.gz", 4000), ("multi30k/train.fr.gz", 2000), ("tinyshakespeare/input.txt", 5000), ("sentencepiece/botchan.txt", 3000)]:
        out += read(os.path.join(shared, name))[:count]
    assert len(out) == 20000
    return out


def make_tokenizers():
    corpus = read(os.path.join(shared, "sentencepiece/botchan.txt")) + read(os.path.join(shared, "multi30k/train.de.gz"))[:1000] + fuzzed(300, 7)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    llama = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    qwen = llama.replace("{1,3}", "")

    t = Tokenizer(BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(llama), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=["<|end|>", "<s>"], show_progress=False))
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 1)])])
    t.save("llama3.json", pretty=False)

    t = Tokenizer(BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(qwen), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False))
    t.add_tokens([AddedToken("WORD", single_word=True, normalized=True), AddedToken("don", normalized=False)])
    t.save("qwen.json", pretty=False)

    t = Tokenizer(BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=["<s>", "</s>", "<unk>"], show_progress=False))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=False, special=True)])
    t.add_tokens([AddedToken("[UNK]", lstrip=True, rstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
    t.save("roberta.json", pretty=False)

    t = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.train_from_iterator([("▁" + l.replace(" ", "▁")) for l in corpus[:1500]], trainers.BpeTrainer(vocab_size=700, limit_alphabet=120,
                          special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)], show_progress=False))
    state = json.loads(t.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(state))
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    t.save("llama2.json", pretty=False)

    t = Tokenizer(BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    t.decoder = decoders.BPEDecoder("</w>")
    t.train_from_iterator(corpus[:2500], trainers.BpeTrainer(vocab_size=600, limit_alphabet=80, end_of_word_suffix="</w>", special_tokens=["<unk>"], show_progress=False))
    t.save("suffix.json", pretty=False)

    t = Tokenizer(BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits(False)])
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(corpus[:2500], trainers.BpeTrainer(vocab_size=600, limit_alphabet=70, continuing_subword_prefix="##", special_tokens=["<unk>"], show_progress=False))
    t.save("prefix.json", pretty=False)

    t = Tokenizer(WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=700, limit_alphabet=150, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t.enable_truncation(12, strategy="longest_first", direction="left")
    t.enable_padding(direction="left", pad_id=0, pad_token="[PAD]", length=10, pad_to_multiple_of=8)
    t.save("bert.json", pretty=False)

    t = Tokenizer(WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Split(Regex(r"\d"), "removed", invert=False)])
    t.decoder = decoders.WordPiece(cleanup=False)
    t.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=700, limit_alphabet=150, special_tokens=["[UNK]"], show_progress=False))
    t.enable_truncation(40)
    t.save("pieces.json", pretty=False)

    t = Tokenizer(WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=400, special_tokens=["[UNK]"], show_progress=False))
    t.save("words.json", pretty=False)

    sp = spm.SentencePieceProcessor(model_file=os.path.join(shared, "sentencepiece/test_model.model"))
    import sentencepiece.sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString(open(os.path.join(shared, "sentencepiece/test_model.model"), "rb").read())
    vocab = [(p.piece, p.score) for p in proto.pieces]
    t = Tokenizer(Unigram(vocab, unk_id=sp.unk_id(), byte_fallback=False))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    t.decoder = decoders.Metaspace()
    t.add_special_tokens([AddedToken("<extra_id_0>", lstrip=True, rstrip=True)] + ["</s>"])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    with gzip.GzipFile("t5.json.gz", "wb", mtime=0) as f:
        f.write(t.to_str().encode())

    t = Tokenizer(Unigram([("<unk>", 0.0), ("<s>", 0.0)] + [("<0x%02X>" % b, 0.0) for b in range(256)] + vocab[3:], unk_id=0, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    t.save("fallback.json", pretty=False)

    with open("corpus.tmp", "w") as f:
        f.write("\n".join(l.replace("\0", "") for l in corpus[:3000]))
    common = dict(input="corpus.tmp", normalization_rule_name="identity", minloglevel=2, num_threads=1)
    spm.SentencePieceTrainer.train(model_prefix="unigram", vocab_size=600, model_type="unigram", character_coverage=0.98, user_defined_symbols=["WORD", "<mask>"], control_symbols=["[MASK]"], **common)
    spm.SentencePieceTrainer.train(model_prefix="bpe", vocab_size=900, model_type="bpe", byte_fallback=True, character_coverage=0.98, remove_extra_whitespaces=False, user_defined_symbols=["WORD", "  "], **common)
    spm.SentencePieceTrainer.train(model_prefix="suffix", vocab_size=600, model_type="bpe", character_coverage=0.98, treat_whitespace_as_suffix=True, **common)
    spm.SentencePieceTrainer.train(model_prefix="bytes", vocab_size=800, model_type="unigram", byte_fallback=True, character_coverage=0.98, add_dummy_prefix=False, **common)
    proto = pb.ModelProto()
    proto.ParseFromString(open("bpe.model", "rb").read())
    for p in list(proto.pieces)[300:500:7]:  # pieces that were taken out of use
        p.type = 5
    proto.trainer_spec.input[:] = []
    open("bpe.model", "wb").write(proto.SerializeToString())
    for name in ["unigram", "bpe", "suffix", "bytes"]:
        os.remove(name + ".vocab")
        proto = pb.ModelProto()
        proto.ParseFromString(open(name + ".model", "rb").read())
        proto.trainer_spec.input[:] = []
        open(name + ".model", "wb").write(proto.SerializeToString())
    os.remove("corpus.tmp")


class Hugging:
    def __init__(self, t):
        self.t = t

    def encode(self, text, special=False):
        e = self.t.encode(text, add_special_tokens=special)
        return e.ids, e.offsets, e.tokens

    def pair(self, a, b):
        e = self.t.encode(a, b)
        return e.ids, e.offsets, e.type_ids

    def decode(self, ids):
        return self.t.decode(ids, skip_special_tokens=False), self.t.decode(ids, skip_special_tokens=True)


class Sentence:
    def __init__(self, path):
        self.p = spm.SentencePieceProcessor(model_file=path)

    def encode(self, text, special=False):
        chars, at = {0: 0}, 0  # byte offsets to characters
        for n, c in enumerate(text):
            at += len(c.encode())
            chars[at] = n + 1
        pieces = list(self.p.encode(text, return_type="proto").pieces)
        return [p.id for p in pieces], [(chars[p.begin], chars[p.end]) for p in pieces], [p.piece for p in pieces]

    def pair(self, a, b):
        return None

    def decode(self, ids):
        return self.p.decode(ids), self.p.decode(ids)


def record(ids, offsets):
    return ",".join(map(str, ids)) + ";" + ",".join("%d-%d" % o for o in offsets)


def digests(lines, chunk, tok):
    out = []
    for i in range(0, len(lines), chunk):
        h = hashlib.sha256()
        for line in lines[i:i + chunk]:
            ids, offsets, _ = tok.encode(line)
            h.update((record(ids, [tuple(o) for o in offsets]) + "\n").encode())
        out.append(h.hexdigest()[:16])
    return out


def whole(lines, tok):
    out = []
    for line in lines:
        ids, offsets, tokens = tok.encode(line)
        full, plain = tok.decode(ids)
        out.append({"text": line, "ids": ids, "offsets": [list(o) for o in offsets], "tokens": tokens, "decoded": full, "plain": plain})
    return out


def pairs(lines, tok):
    out = []
    for a, b in zip(lines, lines[1:]):
        got = tok.pair(a, b)
        single = tok.encode(a, True)
        if got is not None:
            out.append({"ids": got[0], "offsets": [list(o) for o in got[1]], "types": got[2], "single": single[0], "singleOffsets": [list(o) for o in single[1]]})
    return out


def main():
    if "--make" in sys.argv:
        make_tokenizers()
    small = {}
    for name in sorted(os.listdir(".")):
        if name.endswith(".model"):
            small[name] = Sentence(name)
        elif name.endswith(".json") and not name.startswith("golden"):
            small[name] = Hugging(Tokenizer.from_file(name))
        elif name.endswith(".json.gz") and not name.startswith("golden"):
            small[name] = Hugging(Tokenizer.from_str(gzip.open(name, "rt").read()))
    fuzz, plain = fuzzed(4000, 1), fuzzed(40, 2)
    golden = {}
    for name, tok in small.items():
        golden[name] = {"fuzzed": digests(fuzz, 100, tok), "whole": whole(plain, tok), "pairs": pairs(plain[:12], tok)}
        print(name)
    big = {
        "tokenizers/gpt2_encoder.json": Hugging(gpt2()),
        "tokenizers/bert-base-uncased-vocab.txt": Hugging(bert()),
        "sentencepiece/test_model.model": Sentence(os.path.join(shared, "sentencepiece/test_model.model")),
    }
    lines = texts()
    both = {}
    for name, tok in big.items():
        both[name] = {"texts": digests(lines, 500, tok), "fuzzed": digests(fuzz, 100, tok), "whole": whole(plain, tok)}
        print(name)
    # The vocabulary that byte-level BPE learns: a digest of tokens by id and merges.
    t = Tokenizer(BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator([l + "\n" for l in fuzzed(2000, 9)], trainers.BpeTrainer(vocab_size=1500, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                          special_tokens=["<s>", "<pad>"], show_progress=False))
    model = json.loads(t.to_str())["model"]
    learned = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])] + [a + " " + b for a, b in model["merges"]]
    golden["trained"] = {"fuzzed": [hashlib.sha256("\n".join(learned).encode()).hexdigest()]}
    for name, what in [("golden.json.gz", golden), ("golden_shared.json.gz", both)]:
        with gzip.GzipFile(name, "wb", mtime=0) as f:
            f.write(json.dumps(what, ensure_ascii=False).encode())


def gpt2():
    t = Tokenizer(BPE.from_file(os.path.join(shared, "tokenizers/gpt2_encoder.json"), os.path.join(shared, "tokenizers/gpt2_vocab.bpe")))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.add_special_tokens(["<|endoftext|>"])
    return t


def bert():
    from transformers import BertTokenizerFast
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        text = open(os.path.join(shared, "tokenizers/bert-base-uncased-vocab.txt"), encoding="utf-8").read()
        open(os.path.join(d, "vocab.txt"), "w", encoding="utf-8").write(text)
        t = BertTokenizerFast.from_pretrained(d)._tokenizer
    return t


main()
