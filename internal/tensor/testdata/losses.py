"""Records losses.json: the losses' means and gradients as PyTorch computes them. Run: python3 losses.py"""

import json
import os

import torch
import torch.nn.functional as F

from golden import draw, numbers

cases = []


def case(op, width, loss, target=None, weights=None, **args):
    """Records the mean loss of 6 rows x of the width, and its gradient. With weights, one a row, it is the sum of the weighted
    losses over the number of rows whose weight is not 0."""
    x = (draw((6, width), 1) * 4).detach().requires_grad_()
    y = draw((6, width), 2) if target is None else torch.tensor(target)
    if weights is None:
        mean = loss(x, y, "mean")
    else:
        w = torch.tensor(weights)
        each = loss(x, y, "none").reshape(6, -1).mean(1)
        mean = (each * w).sum() / (w != 0).sum()
    mean.backward()
    cases.append({"op": op, "width": width, "target": y.flatten().tolist(), "weights": weights, "args": args,
                  "mean": mean.item(), "grad": numbers(x.grad)})


classes = [3, 0, -100, 1, 2, 3]
labels = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.25, 0.5, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
samples = [1.0, 0.5, 2.0, 0.0, 3.0, 1.5]
class_weights = [1.0, 0.25, 3.0, 0.5]
for smoothing in (0.0, 0.1):
    case("cross entropy", 4, lambda x, y, r: F.cross_entropy(x, y, torch.tensor(class_weights), reduction=r, label_smoothing=smoothing),
         classes, smoothing=smoothing, classWeights=class_weights)
case("cross entropy", 4, lambda x, y, r: F.cross_entropy(x, y, reduction=r), [3, 0, 1, 1, 2, 3], samples)
case("binary", 1, lambda x, y, r: F.binary_cross_entropy_with_logits(x, y, reduction=r), [[1.0], [0.0], [1.0], [0.25], [0.0], [1.0]])
case("binary", 3, lambda x, y, r: F.binary_cross_entropy_with_logits(x, y, reduction=r), labels)
case("binary", 3, lambda x, y, r: F.binary_cross_entropy_with_logits(x, y, reduction=r), labels, samples)
case("mse", 3, lambda x, y, r: F.mse_loss(x, y, reduction=r), None, samples)
seconds, shares = [0, 0, 2, 3, 1, 1], [0.75, 0.5, 1.0, 0.625, 0.9, 0.5]


def mixed(smoothing):
    """Cross-entropy against a share of one class and the rest of another."""
    def loss(x, y, r):
        share = torch.tensor(shares)[:, None]
        soft = F.one_hot(y, 4) * share + F.one_hot(torch.tensor(seconds), 4) * (1 - share)
        return F.cross_entropy(x, soft, reduction=r, label_smoothing=smoothing)
    return loss


for smoothing, weights in ((0.0, None), (0.1, None), (0.2, samples)):
    case("mixed cross entropy", 4, mixed(smoothing), [3, 0, 1, 1, 2, 3], weights, smoothing=smoothing, seconds=seconds, shares=shares)
for weights in (None, samples):
    case("mae", 3, lambda x, y, r: F.l1_loss(x, y, reduction=r), None, weights)
    for delta in (1.0, 0.5):
        case("huber", 3, lambda x, y, r: F.huber_loss(x, y, reduction=r, delta=delta), None, weights, delta=delta)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses.json"), "w") as out:
    out.write('{"torch": "%s", "cases": [\n' % torch.__version__)
    out.write(",\n".join(json.dumps(c) for c in cases))
    out.write("\n]}\n")
