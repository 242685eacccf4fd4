# The tokenizers and sentencepiece libraries, encoding the lines of a text on one thread. usage: tokenizers.py gpt2 ENCODER.json VOCAB.bpe TEXT | sentencepiece FILE.model TEXT
import os, sys, time, statistics
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]  # this file is called as the library is
which, files, text = sys.argv[1], sys.argv[2:-1], sys.argv[-1]
lines = open(text, encoding="utf-8", newline="\n").read().split("\n")
size = os.path.getsize(text)


def speed(encode):
    encode()
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        encode()
        rounds.append(time.perf_counter() - start)
    return size / statistics.median(rounds) / 1e6


if which == "gpt2":
    from tokenizers import Tokenizer, models, pre_tokenizers
    t = Tokenizer(models.BPE.from_file(*files))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    print(f"gpt2 ids {speed(lambda: t.encode_batch_fast(lines, add_special_tokens=False)):.2f} MB/s", flush=True)
    print(f"gpt2 offsets {speed(lambda: t.encode_batch(lines, add_special_tokens=False)):.2f} MB/s", flush=True)
else:
    import sentencepiece
    t = sentencepiece.SentencePieceProcessor(model_file=files[0])
    print(f"sentencepiece ids {speed(lambda: t.encode(lines, num_threads=1)):.2f} MB/s", flush=True)
