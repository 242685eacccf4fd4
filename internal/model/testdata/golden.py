"""Records what PyTorch computes for small forms of each model family into golden.json beside this file.

usage: python3 golden.py        (any interpreter with torch and numpy; the recorded file names the version)

Parameters and inputs are not stored: they are hashes (see draw) which the Go test repeats. For each model the file holds
the names and shapes of all parameters, the logits, the sum of the losses (with label smoothing where the model has it, and plain), running statistics after one step, and for
each parameter the norm of its gradient and two projections of it. Of some models it has one step of optimizers too: the loss after it and,
for each parameter, the same of its new values, and the losses of ten steps.
"""
import copy
import json
import math
import os

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F


def bits(count, seed):
    """Hashes of the numbers 0 to count-1 and the seed."""
    x = numpy.arange(count, dtype=numpy.uint32) + numpy.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    return x ^ (x >> numpy.uint32(16))


def draw(shape, seed, scale=2.0, shift=0.0):
    """Uniform in [shift - scale/2, shift + scale/2)."""
    values = (bits(int(numpy.prod(shape)), seed).astype(numpy.float64) / 2**32 - 0.5) * scale + shift
    return torch.tensor(values.astype(numpy.float32)).reshape(shape)


def choose(shape, seed, below):
    return torch.tensor((bits(int(numpy.prod(shape)), seed) % below).astype(numpy.int64)).reshape(shape)


class Attention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = [y.view(n, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(width, 2)]
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        scores = scores.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        return self.c_proj((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(n, t, width))


class Feedforward(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Norm(nn.Module):
    """LayerNorm with an optional bias, for versions of PyTorch that do not have it."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.ln_1, self.attn = Norm(width, bias), Attention(width, heads, bias)
        self.ln_2, self.mlp = Norm(width, bias), Feedforward(width, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """nanoGPT's names and shapes; the head is the token embedding."""

    def __init__(self, vocabulary, context, depth, heads, width, bias):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocabulary, width), "wpe": nn.Embedding(context, width),
            "h": nn.ModuleList([Block(width, heads, bias) for _ in range(depth)]), "ln_f": Norm(width, bias)})

    def forward(self, tokens):
        t = self.transformer
        x = t["wte"](tokens) + t["wpe"](torch.arange(tokens.shape[1]))
        for block in t["h"]:
            x = block(x)
        return t["ln_f"](x) @ t["wte"].weight.T


def conv_norm(cin, cout, kernel, stride, groups):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(cout), nn.ReLU6(inplace=True))


class Inverted(nn.Module):
    def __init__(self, cin, cout, stride, expansion):
        super().__init__()
        hidden = cin * expansion
        layers = [conv_norm(cin, hidden, 1, 1, 1)] if expansion != 1 else []
        layers += [conv_norm(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, cout, 1, bias=False), nn.BatchNorm2d(cout)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's names and shapes, without dropout."""

    def __init__(self, classes, cifar):
        super().__init__()
        layers, cin = [conv_norm(3, 32, 3, 1 if cifar else 2, 1)], 32
        for t, c, n, s in [(1, 16, 1, 1), (6, 24, 2, 1 if cifar else 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                           (6, 160, 3, 2), (6, 320, 1, 1)]:
            for k in range(n):
                layers.append(Inverted(cin, c, s if k == 0 else 1, t))
                cin = c
        self.features = nn.Sequential(*layers, conv_norm(cin, 1280, 1, 1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def sequential():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(),
        Residual(nn.Conv2d(8, 8, 3, 1, 2, 2, 4, False), nn.BatchNorm2d(8, 1e-3, 0.3), nn.SiLU()),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 12, 2, 2), nn.ReLU6(), nn.AvgPool2d(2), nn.GELU(),
        nn.Flatten(), nn.Linear(12 * 4, 20), nn.LayerNorm(20), nn.Tanh(), nn.Linear(20, 9, False), nn.BatchNorm1d(9), nn.Sigmoid(),
        nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 7))


class ResNetBlock(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    """torchvision's names and shapes; for small images without the large stem and its pool."""

    def __init__(self, classes, small):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.small = small
        cin = 64
        for k, cout in enumerate((64, 128, 256, 512)):
            setattr(self, "layer%d" % (k + 1), nn.Sequential(ResNetBlock(cin, cout, 1 if k == 0 else 2), ResNetBlock(cout, cout, 1)))
            cin = cout
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class TextLSTM(nn.Module):
    def __init__(self, vocabulary, width, hidden):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, tokens):
        return self.head(self.lstm(self.embed(tokens))[0])


class Tied(nn.Module):
    """Learned positions, causal attention, and a head that is the embedding's weight."""

    def __init__(self, vocabulary, context, width, heads):
        super().__init__()
        self.embed, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.norm, self.attn = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)
        self.gru = nn.GRU(width, width, batch_first=True, bias=False)

    def forward(self, tokens):
        n, t = tokens.shape
        x = self.embed(tokens) + self.places.weight
        y = self.norm(x)
        x = x + self.attn(y, y, y, attn_mask=torch.triu(torch.ones(t, t, dtype=torch.bool), 1), need_weights=False)[0]
        return self.gru(x)[0] @ self.embed.weight.T


def sinusoids(steps, width):
    places = torch.arange(steps, dtype=torch.float64)[:, None]
    angles = places * torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], 2).reshape(steps, width).float()


class Parts(nn.Module):
    """A graph of the layers that the other models do not have."""

    def __init__(self, classes):
        super().__init__()
        self.stem, self.gn = nn.Conv2d(3, 8, 3, 1, 1), nn.GroupNorm(4, 8)
        self.down, self.norm = nn.Conv2d(8, 12, 3, 2, 1), nn.InstanceNorm2d(12, affine=True)
        self.up = nn.ConvTranspose2d(12, 8, 3, 2, 1, 1)
        self.squeeze, self.gate = nn.Conv2d(40, 8, 1), nn.Conv2d(40, 8, 1)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.conv1 = nn.Conv1d(8, 12, 3, 2, 1)
        self.wide = nn.ConvTranspose1d(12, 8, 2, 2)
        self.cross = nn.MultiheadAttention(8, 4, batch_first=True)
        self.gru = nn.GRU(8, 5, batch_first=True, bidirectional=True)
        self.lstm = nn.LSTM(10, 6, 2, batch_first=True, bidirectional=True)
        self.enc, self.fc = nn.Linear(12, 12), nn.Linear(36, classes)

    def forward(self, x):
        x = F.elu(self.gn(self.stem(x)))
        down = F.leaky_relu(self.norm(self.down(x)), 0.1)
        x = torch.cat([x, self.up(down), F.interpolate(down, scale_factor=2), F.interpolate(down, scale_factor=2, mode="bilinear")], 1)
        x = self.squeeze(x) * torch.sigmoid(self.gate(x))
        seq = x.flatten(2).transpose(1, 2) + sinusoids(64, 8)
        seq = seq + self.attn(seq, seq, seq, need_weights=False)[0]
        x = F.max_pool1d(F.softplus(self.conv1(seq.transpose(1, 2))), 2)
        x = F.avg_pool1d(self.wide(x), 2).transpose(1, 2)
        x = self.cross(x, seq, seq, need_weights=False)[0]
        x = self.lstm(self.gru(x)[0])[0]
        x = self.enc(torch.tanh(self.enc(x)))
        return F.log_softmax(self.fc(torch.cat([x[:, -1], x.amax(1), x.mean(1)], 1)), 1)


def fill(model):
    """Draws parameters of a size that keeps activations alive."""
    for k, (name, p) in enumerate(model.named_parameters()):
        with torch.no_grad():
            if p.dim() == 1:
                p.copy_(draw(p.shape, k, 0.4, 1.0 if name.endswith("weight") else 0.0))
            else:
                p.copy_(draw(p.shape, k, 2 * math.sqrt(3 / (p.numel() / p.shape[0]))))


def number(x):
    return float("%.9g" % float(x.detach() if isinstance(x, torch.Tensor) else x))


def projections(x, k):
    x = x.detach().double()
    return {"norm": number(x.norm()), "projections": [number((x * draw(x.shape, 1000 * j + k).double()).sum()) for j in (1, 2)]}


def after_step(kind, model, inputs, targets, count):
    """One step of an optimizer with the mean gradient: the loss after it, and the new parameters."""
    make = {"sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.0005), "adam": lambda p: torch.optim.Adam(p, 0.001),
            "adamw": lambda p: torch.optim.AdamW(p, 0.001, weight_decay=0.01)}[kind]
    for p in model.parameters():
        p.grad = p.grad / count
    make(list(model.parameters())).step()
    logits = model(inputs)
    loss = nn.CrossEntropyLoss(reduction="sum")(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    return {"optimizer": kind, "loss": number(loss), "tensors": [dict(projections(p, k), name=key) for k, (key, p) in enumerate(model.named_parameters())]}


def trained(kind, model, shape, classes, tokens):
    """The losses of ten steps of an optimizer, each with a batch of its own, from the same parameters as record's."""
    fill(model)
    model.train()
    make = {"sgd": lambda p: torch.optim.SGD(p, 0.0005, momentum=0.9, weight_decay=0.0005), "adam": lambda p: torch.optim.Adam(p, 0.001)}[kind]
    optimizer, losses = make(list(model.parameters())), []
    for step in range(10):
        inputs = choose(shape, 600 + step, classes) if tokens else draw(shape, 600 + step)
        targets = choose(shape if tokens else shape[:1], 700 + step, classes)
        optimizer.zero_grad()
        logits = model(inputs)
        loss = nn.CrossEntropyLoss()(logits.reshape(-1, classes), targets.reshape(-1))
        loss.backward()
        optimizer.step()
        losses.append(number(loss))
    return losses


def record(name, model, inputs, targets, smoothing=0.0, optimizers=(), run=None):
    fill(model)
    model.zero_grad()
    model.train()
    logits = model(inputs)
    logits = logits.reshape(-1, logits.shape[-1])
    loss = nn.CrossEntropyLoss(reduction="sum", label_smoothing=smoothing)(logits, targets.reshape(-1))
    loss.backward()
    plain = nn.CrossEntropyLoss(reduction="sum")(logits, targets.reshape(-1))
    tensors = []
    for k, (key, p) in enumerate(model.named_parameters()):
        g = p.grad.double()
        tensors.append({"name": key, "shape": list(p.shape), "norm": number(g.norm()),
                        "projections": [number((g * draw(p.shape, 1000 + k).double()).sum()), number((g * draw(p.shape, 2000 + k).double()).sum())]})
    steps = []
    for kind in optimizers:
        other = copy.deepcopy(model)
        for p, q in zip(other.parameters(), model.parameters()):
            p.grad = q.grad.clone()
        steps.append(after_step(kind, other, inputs, targets, targets.numel()))
    statistics = [{"name": key, "values": [number(v) for v in b.reshape(-1)[:40]]}
                  for key, b in model.named_buffers() if key.endswith(("running_mean", "running_var"))]
    return {"name": name, "loss": number(loss), "plain": number(plain), "logits": [number(v) for v in logits.detach().reshape(-1)],
            "tensors": tensors, "statistics": statistics, **({"steps": steps} if steps else {}), **({"run": run} if run else {})}


def main():
    torch.set_num_threads(1)
    mlp = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10))
    resnet_run = trained("sgd", ResNet18(10, True), (8, 3, 16, 16), 10, False)
    lstm_run = trained("adam", TextLSTM(13, 10, 16), (3, 9), 13, True)
    models = [
        record("mlp", mlp, draw((6, 20), 500), choose((6,), 501, 10)),
        record("gpt", GPT(13, 9, 2, 2, 16, False), choose((3, 9), 500, 13), choose((3, 9), 501, 13)),
        record("gpt bias", GPT(13, 9, 2, 4, 24, True), choose((3, 9), 500, 13), choose((3, 9), 501, 13)),
        record("sequential", sequential(), draw((6, 3, 16, 16), 500), choose((6,), 501, 7)),
        record("mobilenetv2", MobileNetV2(6, False), draw((4, 3, 64, 64), 500), choose((4,), 501, 6)),
        record("mobilenetv2 cifar", MobileNetV2(10, True), draw((4, 3, 16, 16), 500), choose((4,), 501, 10)),
        record("mlp smoothed", mlp, draw((6, 20), 500), choose((6,), 501, 10), 0.1),
        record("gpt smoothed", GPT(13, 9, 2, 2, 16, False), choose((3, 9), 500, 13), choose((3, 9), 501, 13), 0.3),
        record("resnet18", ResNet18(6, False), draw((4, 3, 64, 64), 500), choose((4,), 501, 6)),
        record("resnet18 cifar", ResNet18(10, True), draw((4, 3, 16, 16), 500), choose((4,), 501, 10), optimizers=("sgd", "adam", "adamw"), run=resnet_run),
        record("lstm", TextLSTM(13, 10, 16), choose((3, 9), 500, 13), choose((3, 9), 501, 13), optimizers=("sgd", "adam", "adamw"), run=lstm_run),
        record("tied", Tied(13, 9, 16, 4), choose((3, 9), 500, 13), choose((3, 9), 501, 13)),
        record("parts", Parts(7), draw((4, 3, 8, 8), 500), choose((4,), 501, 7)),
    ]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json")
    with open(path, "w") as out:
        out.write('{"torch": "%s", "models": [\n%s\n]}\n' % (torch.__version__, ",\n".join(json.dumps(m) for m in models)))


if __name__ == "__main__":
    main()
