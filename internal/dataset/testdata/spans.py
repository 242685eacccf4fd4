"""Records what T5's span corruption makes of text where nothing is drawn: python testdata/spans.py > testdata/spans.json

The formulas are those of t5.data.preprocessors (random_spans_helper, noise_span_to_unique_sentinel, nonnoise_span_to_unique_sentinel)."""
import json
import numpy as np


def helper(inputs_length, density, mean):
    def of(tokens):
        noise = int(round(tokens * density))
        spans = int(round(noise / mean))
        return tokens - noise + spans + 1, noise + spans + 1
    tokens = inputs_length
    while of(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs, targets = of(tokens)
    if density == 0.5 and targets > inputs:
        tokens, targets = tokens - 1, targets - 1
    return tokens, targets


def to_sentinels(tokens, noise, sentinels):
    before = np.pad(noise[:-1], [[1, 0]])
    first, following = noise & ~before, noise & before
    out = np.where(first, np.asarray(sentinels)[np.cumsum(first) - 1], tokens)
    return out[~following]


lengths = [[n, d, m, *helper(n, d, m)] for n in (16, 24, 64, 100, 114, 256, 512, 1000) for d in (0.1, 0.15, 0.25, 0.5) for m in (2, 3, 5, 10)]
r = np.random.default_rng(5)
cases = []
for _ in range(6):
    kept, hidden = r.integers(1, 6, 4), r.integers(1, 4, 4)
    noise = np.concatenate([np.repeat([False, True], [k, h]) for k, h in zip(kept, hidden)])
    tokens, sentinels = r.integers(10, 99, len(noise)), [200, 199, 198, 197]
    cases.append(dict(tokens=tokens.tolist(), kept=kept.tolist(), hidden=hidden.tolist(), sentinels=sentinels,
                      inputs=to_sentinels(tokens, noise, sentinels).tolist() + [1], targets=to_sentinels(tokens, ~noise, sentinels).tolist() + [1]))
print(json.dumps(dict(lengths=lengths, cases=cases)))
