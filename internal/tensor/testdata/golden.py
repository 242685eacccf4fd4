"""Records what PyTorch computes for each operation, forward and backward, into golden.json beside this file.

usage: python3 golden.py        (any interpreter with torch and numpy; the recorded file names the version)

Inputs are not stored: element i of an input with seed s is a hash of both (see draw), which the Go test repeats. The loss
of a case is the sum of its output times the draw of seed 99, so a case holds the output and the gradient of each input.
Images are (samples, channels, height, width) here and in the file.
"""
import json
import os

import numpy
import torch
import torch.nn.functional as F


def draw(shape, seed, scale=2.0, shift=0.0):
    """Uniform in [shift - scale/2, shift + scale/2): a hash of the element's number and the seed."""
    x = numpy.arange(int(numpy.prod(shape)), dtype=numpy.uint32) + numpy.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    x ^= x >> numpy.uint32(16)
    values = (x.astype(numpy.float64) / 2**32 - 0.5) * scale + shift
    return torch.tensor(values.astype(numpy.float32)).reshape(shape)


def numbers(t):
    return [float("%.9g" % v) for v in t.detach().reshape(-1).tolist()]


cases = []


def case(op, shapes, f, shifts=None, **args):
    inputs = []
    for k, shape in enumerate(shapes):
        x = draw(shape, k + 1, shift=(shifts or {}).get(k, 0.0))
        inputs.append(x.requires_grad_())
    y = f(*inputs)
    (y * draw(y.shape, 99)).sum().backward()
    cases.append({"op": op, "args": args, "shapes": [list(s) for s in shapes],
                  "shifts": [(shifts or {}).get(k, 0.0) for k in range(len(shapes))],
                  "output": numbers(y), "grads": [numbers(x.grad) for x in inputs]})


def attention(q, k, v, heads, scale, causal=False, lengths=None, bias=None):
    n, tq, width = q.shape
    tk = k.shape[1]
    q, k, v = [x.reshape(n, -1, heads, width // heads).transpose(1, 2) for x in (q, k, v)]
    scores = q @ k.transpose(-2, -1) * scale
    if bias is not None:
        scores = scores + bias
    hidden = torch.zeros(n, 1, tq, tk, dtype=torch.bool)
    if causal:
        hidden |= torch.triu(torch.ones(tq, tk, dtype=torch.bool), 1)
    if lengths is not None:
        hidden |= torch.arange(tk)[None, None, None, :] >= torch.tensor(lengths)[:, None, None, None]
    p = torch.softmax(scores.masked_fill(hidden, float("-inf")), -1)
    return (p @ v).transpose(1, 2).reshape(n, tq, width)


def main():
    case("linear", [(3, 5), (4, 5), (4,)], F.linear)
    case("linear relu", [(3, 5), (4, 5), (4,)], lambda x, w, b: F.linear(x, w, b).relu())
    for stride, padding, dilation, groups, cin, cout, k in [
            (1, 1, 1, 1, 3, 4, 3), (2, 1, 1, 1, 3, 4, 3), (1, 2, 2, 2, 4, 6, 3), (3, 0, 1, 1, 2, 3, 2),
            (1, 0, 1, 1, 5, 7, 1), (2, 0, 1, 1, 5, 3, 1), (1, 2, 1, 3, 3, 6, 5)]:
        case("conv", [(2, cin, 7, 6), (cout, cin // groups, k, k), (cout,)],
             lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups),
             stride=stride, padding=padding, dilation=dilation, groups=groups)
    for stride, k, channels in [(1, 3, 20), (2, 3, 20), (1, 5, 3)]:
        case("conv", [(2, channels, 7, 6), (channels, 1, k, k)],
             lambda x, w: F.conv2d(x, w, None, stride, k // 2, 1, channels),
             stride=stride, padding=k // 2, dilation=1, groups=channels)
    for k, stride, padding in [(2, 2, 0), (3, 2, 1), (3, 1, 0)]:
        case("max pool", [(2, 3, 7, 6)], lambda x: F.max_pool2d(x, k, stride, padding), kernel=k, stride=stride, padding=padding)
        case("average pool", [(2, 3, 7, 6)], lambda x: F.avg_pool2d(x, k, stride, padding), kernel=k, stride=stride, padding=padding)
    for out in [(1, 1), (3, 2), (5, 6)]:
        case("adaptive pool", [(2, 3, 7, 6)], lambda x: F.adaptive_avg_pool2d(x, out), height=out[0], width=out[1])
    case("batch norm", [(3, 4, 5, 2), (4,), (4,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5), {0: 0.7, 1: 1})
    case("batch norm relu", [(3, 4, 5, 2), (4,), (4,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5).relu(), {0: 0.7, 1: 1})
    case("batch norm relu6", [(3, 4, 5, 2), (4,), (4,)], lambda x, w, b: F.relu6(F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)), {0: 0.7, 1: 6})
    case("layer norm", [(3, 2, 9), (9,), (9,)], lambda x, w, b: F.layer_norm(x, (9,), w, b, 1e-5), {0: 0.5, 1: 1})
    case("rms norm", [(3, 2, 9), (9,)], lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w, {0: 0.5, 1: 1})
    tokens = [2, 0, 2, 5, 1, 5]
    case("embedding", [(6, 4), (3, 4)], lambda t, p: t[torch.tensor(tokens).reshape(2, 3)] + p, tokens=tokens)
    for name, length, args in [("full", 5, {}), ("causal", 5, {"causal": True}), ("long", 70, {"causal": True}),
                               ("padded", 5, {"lengths": [3, 5]})]:
        case("attention", [(2, length, 6)] * 3, lambda q, k, v: attention(q, k, v, 2, 0.6, **args), scale=0.6, **args)
    case("attention bias", [(2, 5, 6)] * 3 + [(2, 5, 5)], lambda q, k, v, b: attention(q, k, v, 2, 0.6, True, None, b), scale=0.6, causal=True)
    for name, f in [("relu", F.relu), ("relu6", F.relu6), ("gelu", F.gelu),
                    ("gelu tanh", lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))),
                    ("silu", F.silu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)]:
        case(name, [(3, 11)], f, {0: 5.5} if name == "relu6" else None)
    for name, f in [("leaky relu", lambda x: F.leaky_relu(x, 0.03)), ("elu", lambda x: F.elu(x, 1.5)), ("softplus", F.softplus)]:
        case(name, [(3, 11)], f, scale=0.03 if name == "leaky relu" else 1.5)
    for name, f in [("softmax", lambda x: F.softmax(x, -1)), ("log softmax", lambda x: F.log_softmax(x, -1))]:
        case(name, [(2, 3, 19)], f)
    case("multiply", [(3, 11), (3, 11)], lambda a, b: a * b)
    windows()
    channel_norms()
    recurrent()
    losses()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json")
    with open(path, "w") as out:
        out.write('{"torch": "%s", "cases": [\n' % torch.__version__)
        out.write(",\n".join(json.dumps(c) for c in cases))
        out.write("\n]}\n")


def windows():
    """Transposed convolutions, windows along signals (samples, channels, length), and upsampling."""
    for stride, padding, dilation, groups, extra, cin, cout, k in [
            (1, 0, 1, 1, 0, 3, 4, 3), (2, 1, 1, 1, 1, 4, 3, 3), (2, 0, 1, 2, 0, 4, 6, 2), (3, 1, 2, 1, 2, 2, 3, 3), (1, 0, 1, 1, 0, 5, 2, 1)]:
        args = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "extra": extra}
        case("conv transpose", [(2, cin, 4, 5), (cin, cout // groups, k, k), (cout,)],
             lambda x, w, b: F.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation), **args)
        case("signal conv transpose", [(2, cin, 6), (cin, cout // groups, k), (cout,)],
             lambda x, w, b: F.conv_transpose1d(x, w, b, stride, padding, extra, groups, dilation), **args)
    for stride, padding, dilation, groups, cin, cout, k in [
            (1, 1, 1, 1, 3, 4, 3), (2, 2, 1, 1, 3, 4, 5), (1, 2, 2, 2, 4, 6, 3), (1, 0, 1, 1, 5, 7, 1), (2, 1, 1, 4, 4, 4, 3)]:
        case("signal conv", [(2, cin, 9), (cout, cin // groups, k), (cout,)],
             lambda x, w, b: F.conv1d(x, w, b, stride, padding, dilation, groups),
             stride=stride, padding=padding, dilation=dilation, groups=groups)
    case("signal conv", [(2, 4, 9), (4, 1, 3)], lambda x, w: F.conv1d(x, w, None, 1, 1, 1, 4), stride=1, padding=1, dilation=1, groups=4)
    case("signal max pool", [(2, 3, 9)], lambda x: F.max_pool1d(x, 3, 2, 1), kernel=3, stride=2, padding=1)
    case("signal average pool", [(2, 3, 9)], lambda x: F.avg_pool1d(x, 3, 2, 1), kernel=3, stride=2, padding=1)
    for scale in (2, 3):
        case("upsample nearest", [(2, 3, 4, 3)], lambda x: F.interpolate(x, scale_factor=scale, mode="nearest"), kernel=scale)
        case("upsample bilinear", [(2, 3, 4, 3)], lambda x: F.interpolate(x, scale_factor=scale, mode="bilinear"), kernel=scale)


def channel_norms():
    """Group and instance normalisation, and positions (samples, steps, width)."""
    case("group norm", [(2, 6, 3, 4), (6,), (6,)], lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5), {0: 0.7, 1: 1}, groups=2)
    case("group norm", [(3, 6, 1, 1), (6,), (6,)], lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5), {0: 0.7, 1: 1}, groups=2)
    case("instance norm", [(2, 5, 3, 4)], lambda x: F.instance_norm(x, eps=1e-5), {0: 0.7}, groups=5)
    case("scale channels", [(2, 5, 3, 4), (2, 5)], lambda x, s: x * s[:, :, None, None])
    case("positions", [(3, 4, 5), (4, 5)], lambda x, p: x + p)
    case("last step", [(3, 4, 5)], lambda x: x[:, -1])


def recurrent():
    """One layer of LSTM and GRU with the inputs' weights and biases, in both directions."""
    for name, gates, f in [("lstm", 4, lambda x, p, both: torch.lstm(x, (torch.zeros(1 + both, 3, 5),) * 2, p, True, 1, 0.0, True, both, True)[0]),
                           ("gru", 3, lambda x, p, both: torch.gru(x, torch.zeros(1 + both, 3, 5), p, True, 1, 0.0, True, both, True)[0])]:
        weights = [(5 * gates, 4), (5 * gates, 5), (5 * gates,), (5 * gates,)]
        case(name, [(3, 7, 4)] + weights, lambda x, *p: f(x, list(p), False))
        case(name, [(3, 1, 4)] + weights, lambda x, *p: f(x, list(p), False))
        case(name, [(3, 7, 4)] + 2 * weights, lambda x, *p: f(x, list(p), True))


def losses():
    targets = [3, 0, -100, 6, 2]
    for smoothing in (0.0, 0.1):
        x = draw((5, 7), 1).requires_grad_()
        loss = F.cross_entropy(x, torch.tensor(targets), reduction="sum", ignore_index=-100, label_smoothing=smoothing)
        loss.backward()
        cases.append({"op": "cross entropy", "args": {"targets": targets, "smoothing": smoothing}, "shapes": [[5, 7]],
                      "shifts": [0.0], "output": [loss.item()], "grads": [numbers(x.grad)]})
    x, y = draw((5, 7), 1).requires_grad_(), draw((5, 7), 2)
    loss = F.mse_loss(x, y) * 5
    loss.backward()
    cases.append({"op": "squared error", "args": {}, "shapes": [[5, 7]], "shifts": [0.0],
                  "output": [loss.item()], "grads": [numbers(x.grad)]})


if __name__ == "__main__":
    main()
