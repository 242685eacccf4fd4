"""Records sacrebleu's figures: python testdata/bleu.py > testdata/bleu.json (sacrebleu 2.6.0)"""
import json
import random
from sacrebleu.metrics import BLEU

texts = [
    "A man in an orange hat starring at something.",
    "A Boston Terrier is running on lush green grass in front of a white fence.",
    "A girl in karate uniform breaking a stick with a front kick.",
    'He said, "it costs $1,000.50 (or 3-4 %)", didn\'t he?',
    "x &quot;y&quot; &amp;lt; &lt;b&gt; <skipped> end-\nof line\nnext",
    "Größe über Straße – «zitiert», 東京。 naïve café",
    "\u00a0 no-break\u2003space\x1funit\x85next ",
    "1.2.3 ,,, ... a.b,c 5-6 -7 7- U.S.A. 10,000.",
    "tilde~brace{x}[y]`z^_@:;<=>?!#%&*+/\\|",
    "🙂 emoji. e\u0301 combining,mark",
    "one", "two words", "now three words", ".", "",
]
r = random.Random(7)


def changed(text):
    words = text.split(" ")
    for _ in range(r.randrange(3)):
        i = r.randrange(len(words))
        if r.random() < 0.5:
            words[i] = r.choice(["a", "the", "dog", "."])
        else:
            words.insert(i, r.choice(["very", "red", ","]))
    return " ".join(words)


pairs = [("exact", texts, texts), ("empty translations", ["", ""], ["a b", "c"]), ("nothing", [], []),
         ("empty references", ["a b c d e", "f"], ["", ""]), ("nothing right", ["a b c d e"], ["v w x y z"]),
         ("one word", ["dog"], ["dog"]), ("two words", ["the dog", "a cat"], ["the dog", "the cat"]),
         ("short", ["the dog runs"], ["the dog runs home over the field"]), ("long", ["the dog runs home over the field at night"], ["the dog runs"]),
         ("no 4-grams right", ["a b c x d e f"], ["a b c y d e f"]), ("no 2-grams right", ["a x b y"], ["b z a w"]),
         ("repeated", ["the the the the the the the"], ["the cat is on the mat"]), ("case", ["The Dog Runs Home"], ["the dog runs home"])]
for k in range(12):
    chosen = r.sample(texts[:-1], r.randrange(1, 8))
    pairs.append((f"random {k}", [changed(t) for t in chosen], chosen))

metric = BLEU()
cases = []
for name, hypotheses, references in pairs:
    case = dict(name=name, translations=hypotheses, references=references, words=[metric._preprocess_segment(h).split() for h in hypotheses])
    if hypotheses:
        s = metric.corpus_score(hypotheses, [references])
        case.update(score=s.score, precisions=s.precisions, bp=s.bp, correct=list(s.counts), total=list(s.totals), length=s.sys_len, reference=s.ref_len,
                    text=s.format(signature=str(metric.get_signature())))
    else:  # what it refuses
        case.update(score=0, precisions=[0] * 4, bp=1, correct=[0] * 4, total=[0] * 4, length=0, reference=0, text="")
    cases.append(case)
print(json.dumps(cases, indent=1))
