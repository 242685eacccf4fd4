"""Records scikit-learn's figures on random predictions: python testdata/golden.py > testdata/golden.json"""
import json
import numpy as np
from sklearn import metrics as m

rng = np.random.default_rng(7)
f = lambda a: np.asarray(a, np.float32)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return f(e / e.sum(1, keepdims=True))


def classes(n, k, weighted, absent=None):
    logits = f(rng.normal(size=(n, k)))
    truth = rng.integers(0, k, n)
    if absent is not None:
        truth[truth == absent] = 0
        logits[:, absent] = -9
    logits[np.arange(n), truth] += f(rng.normal(1, 1, n))
    w = f(rng.uniform(0.1, 2, n)) if weighted else f(np.ones(n))
    p, guess = softmax(logits), logits.argmax(1)
    with np.errstate(all="ignore"):
        want = dict(
            accuracy=m.accuracy_score(truth, guess, sample_weight=w),
            precision=m.precision_score(truth, guess, average="macro", sample_weight=w, zero_division=0),
            recall=m.recall_score(truth, guess, average="macro", sample_weight=w, zero_division=0),
            f1=m.f1_score(truth, guess, average="macro", sample_weight=w, zero_division=0),
        )
    if k > 2:
        want["top2"] = m.top_k_accuracy_score(truth, logits, k=2, sample_weight=w, labels=range(k))
    if absent is None:
        if k == 2:
            want["auc"] = m.roc_auc_score(truth, p[:, 1], sample_weight=w)
        else:  # scikit-learn takes no weights with one-vs-rest of several classes, so it is asked class by class
            want["auc"] = np.mean([m.roc_auc_score(truth == c, p[:, c], sample_weight=w) for c in range(k)])
    return dict(kind="classes", outputs=k, logits=logits.tolist(), probabilities=p.tolist(), classes=truth.tolist(), weights=w.tolist(),
                want=want, confusion=m.confusion_matrix(truth, guess, sample_weight=w, labels=range(k)).tolist())


def labels(n, k):
    logits = np.round(f(rng.normal(size=(n, k))), 1)  # with ties
    truth = (logits + rng.normal(size=(n, k)) > 0.3).astype(int)
    w = f(rng.uniform(0.1, 2, n))
    guess = (logits >= 0).astype(int)
    score = dict(average="macro", sample_weight=w, zero_division=0)
    if k == 1:
        truth1, guess1 = truth[:, 0], guess[:, 0]
        want = dict(accuracy=m.accuracy_score(truth1, guess1, sample_weight=w), auc=m.roc_auc_score(truth1, logits[:, 0], sample_weight=w),
                    f1=m.f1_score(truth1, guess1, sample_weight=w))
    else:
        want = dict(accuracy=m.accuracy_score(truth, guess, sample_weight=w), precision=m.precision_score(truth, guess, **score),
                    recall=m.recall_score(truth, guess, **score), f1=m.f1_score(truth, guess, **score),
                    auc=m.roc_auc_score(truth, logits, average="macro", sample_weight=w))
    return dict(kind="labels", outputs=k, logits=logits.tolist(), targets=truth.tolist(), weights=w.tolist(), want=want)


def values(n, k, offset):
    truth = f(rng.normal(size=(n, k)) + offset)
    out = f(truth + rng.normal(0, 0.5, (n, k)))
    w = f(rng.uniform(0.1, 2, n))
    y, o = truth.astype(float), out.astype(float)
    want = dict(mae=m.mean_absolute_error(y, o, sample_weight=w), mse=m.mean_squared_error(y, o, sample_weight=w),
                rmse=m.root_mean_squared_error(y, o, sample_weight=w), r2=m.r2_score(y, o, sample_weight=w))
    return dict(kind="values", outputs=k, logits=out.tolist(), targets=truth.tolist(), weights=w.tolist(), want=want)


cases = [classes(60, 4, False), classes(60, 3, True), classes(50, 2, True), classes(40, 5, True, absent=3), labels(60, 3), labels(60, 1), values(40, 2, 0), values(40, 1, 3000)]
print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
