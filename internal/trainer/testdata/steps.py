"""Records one training step of every ready job's model in PyTorch, torchvision and Keras into steps.json beside this file.

usage: KERAS_BACKEND=torch python3 steps.py        (any interpreter with torch, torchvision, transformers and keras; the file names the versions)

Parameters and batches are hashes that the Go test repeats, by the tensors' names. For each job and optimizer the file has the loss before the
step and of each parameter after it: its norm, a projection of it, and a few values, of those that the gradient says something about.
"""
import json
import math
import os
import zlib

import keras
import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision


def bits(count, seed):
    x = numpy.arange(count, dtype=numpy.uint32) + numpy.uint32(seed)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    return x ^ (x >> numpy.uint32(16))


def draw(shape, seed, scale, shift=0.0):
    x = bits(int(numpy.prod(shape)), seed).astype(numpy.float64)
    return ((x / 2**32 - 0.5) * scale + shift).astype(numpy.float32).reshape(shape)


def choose(shape, seed, below):
    return (bits(int(numpy.prod(shape)), seed) % below).astype(numpy.int64).reshape(shape)


def first(name, shape):
    """The values of a parameter before the step."""
    seed = zlib.crc32(name.encode())
    if len(shape) == 1:
        return draw(shape, seed, 0.4, 1.0 if name.endswith("weight") else 0.0)
    return draw(shape, seed, 2 * math.sqrt(3 / (math.prod(shape) / shape[0])))


class Digits(nn.Module):
    """configs/digits-graph.yaml."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(1, 8, 5, padding=2), nn.GroupNorm(4, 16)
        self.conv, self.fc = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16 * 49, 10)

    def forward(self, x):
        x = x.view(-1, 1, 28, 28)
        x = F.max_pool2d(F.relu(self.norm(torch.cat([self.narrow(x), self.wide(x)], 1))), 2)
        return self.fc(F.max_pool2d(x + F.relu(self.conv(x)), 2).flatten(1))


class Autoencoder(nn.Module):
    """configs/mnist-autoencoder.yaml."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Linear(784, 32)])
        self.decoder = nn.ModuleList([nn.Linear(32, 784), nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ConvTranspose2d(8, 1, 3, 2, 1, 1)])

    def forward(self, x):
        e, d = self.encoder, self.decoder
        x = e[2](F.relu(e[1](F.relu(e[0](x.view(-1, 1, 28, 28))))).flatten(1))
        x = F.relu(d[1](F.relu(d[0](x)).view(-1, 16, 7, 7)))
        return torch.sigmoid(d[2](x)).flatten(1)


class DVAE(nn.Module):
    """configs/mnist-dvae.yaml. What the codebook adds to the loss is left in penalty."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1), nn.Conv2d(32, 8, 1), nn.BatchNorm2d(8)])
        self.codebook = nn.Embedding(32, 8)
        self.decoder = nn.ModuleList([nn.Conv2d(8, 32, 3, 1, 1), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(16, 1, 4, 2, 1)])

    def forward(self, x):
        e, d = self.encoder, self.decoder
        z = e[3](e[2](F.relu(e[1](F.relu(e[0](x.view(-1, 1, 28, 28))))))).permute(0, 2, 3, 1)
        q = self.codebook(((z.unsqueeze(-2) - self.codebook.weight) ** 2).sum(-1).argmin(-1))
        self.penalty = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        x = F.relu(d[1](F.relu(d[0]((z + (q - z).detach()).permute(0, 3, 1, 2)))))
        return torch.sigmoid(d[2](x)).flatten(1)


class TextLSTM(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(vocabulary, 64), nn.LSTM(64, 128, 2, batch_first=True), nn.Linear(128, vocabulary)

    def forward(self, tokens):
        return self.head(self.lstm(self.embed(tokens))[0])


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width, bias=False), "c_proj": nn.Linear(width, width, bias=False)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width, bias=False), "c_proj": nn.Linear(4 * width, width, bias=False)})

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = [y.view(n, t, self.heads, -1).transpose(1, 2) for y in self.attn["c_attn"](self.ln_1(x)).split(width, 2)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, width)
        x = x + self.attn["c_proj"](y)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class GPT(nn.Module):
    """nanoGPT's names; the head is the token embedding."""

    def __init__(self, vocabulary, context, depth=4, heads=4, width=128):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocabulary, width), "wpe": nn.Embedding(context, width),
            "h": nn.ModuleList([Block(width, heads) for _ in range(depth)]), "ln_f": nn.LayerNorm(width, bias=False)})

    def forward(self, tokens):
        t = self.transformer
        x = t["wte"](tokens) + t["wpe"].weight[:tokens.shape[1]]
        for block in t["h"]:
            x = block(x)
        return t["ln_f"](x) @ t["wte"].weight.T


def small_resnet():
    m = torchvision.models.resnet18(weights=None, num_classes=10)
    m.conv1, m.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return m


def mobilenet(classes, small):
    m = torchvision.models.mobilenet_v2(weights=None, num_classes=classes, dropout=0.0)
    if small:
        m.features[0][0].stride = (1, 1)
        m.features[2].conv[1][0].stride = (1, 1)
    return m


def cnn():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Dropout(0), nn.Linear(128, 10))


def mlp():
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def keras_mlp():
    return keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(128, "relu"), keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")])


def number(x):
    return float("%.8g" % float(x))


def size(gradients):
    """The root of the mean square."""
    return math.sqrt(sum((g.astype(numpy.float64) ** 2).sum() for g in gradients) / sum(g.size for g in gradients))


def told(name, after, gradient, all_gradients):
    """What the file has of a parameter. Where a batch norm follows, a gradient may be zero but for rounding, of which Adam takes the sign."""
    after, gradient = after.reshape(-1), numpy.abs(gradient.reshape(-1))
    clear = gradient >= max(0.02 * size([gradient]), 1e-3 * size(all_gradients))
    at = [int(k) for k in choose((64,), zlib.crc32(name.encode()) + 1, len(after)) if clear[k]][:6]
    wide = after.astype(numpy.float64)
    return [name, number(numpy.sqrt((wide**2).sum())), number((wide * draw(after.shape, zlib.crc32(name.encode()) + 2, 2.0)).sum()), at, [number(after[k]) for k in at]]


def in_torch(model, inputs, targets, loss, image, rate=0.01):
    def fill():
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(torch.tensor(first(name, tuple(p.shape))))
    out = {}
    for kind, make in {"sgd": lambda p: torch.optim.SGD(p, rate, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, 0.001),
                       "adamw": lambda p: torch.optim.AdamW(p, 0.001, weight_decay=0.01)}.items():
        fill()
        model.train()
        optimizer = make(list(model.parameters()))
        optimizer.zero_grad()
        x = inputs.view(-1, 1, 28, 28) if image else inputs
        value = loss(model(x), targets)
        value.backward()
        optimizer.step()
        gradients = [p.grad.numpy() for p in model.parameters()]
        out[kind] = {"rate": optimizer.param_groups[0]["lr"], "loss": number(value.detach()), "tensors": [
            told(name, p.detach().numpy(), g, gradients) for (name, p), g in zip(model.named_parameters(), gradients)]}
    return out


def back(v, depthwise):
    """Keras' order of axes to PyTorch's."""
    if v.ndim == 4:
        return v.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    return v.T


def forth(v, depthwise):
    if v.ndim == 4:
        return v.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return v.T


def in_keras(model, names, inputs, targets, rate=0.01):
    """names are what PyTorch calls the trainable weights, in their order."""
    weights = model.trainable_weights
    depthwise = ["depthwise" in w.path for w in weights]
    out = {}
    for kind, make in {"sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9), "adam": lambda: keras.optimizers.Adam(0.001),
                       "adamw": lambda: keras.optimizers.AdamW(0.001, weight_decay=0.01)}.items():
        for w, name, d in zip(weights, names, depthwise):
            shape = back(numpy.empty(tuple(w.shape), numpy.uint8), d).shape
            w.assign(forth(first(name, shape), d).copy())
        model.zero_grad()
        value = keras.losses.SparseCategoricalCrossentropy()(targets, model(inputs, training=True))
        value.backward()
        gradients = [w.value.grad for w in weights]
        optimizer = make()
        with torch.no_grad():
            optimizer.apply(gradients, weights)
        gradients = [back(g.numpy(), d) for g, d in zip(gradients, depthwise)]
        out[kind] = {"rate": rate if kind == "sgd" else 0.001, "loss": number(value.detach()), "tensors": [
            told(name, back(w.numpy(), d), g, gradients) for name, w, g, d in zip(names, weights, gradients, depthwise)]}
    return out


def entropy(logits, targets):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def dalle(logits, targets):
    """1/8 of the mean loss over the caption's 2 words, and 7/8 of that over the 49 codes."""
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return each[:, :2].mean() / 8 + each[:, 2:].mean() * 7 / 8


def main():
    torch.set_num_threads(1)
    vector, digits = torch.tensor(draw((3, 784), 500, 1.0, 0.5)), torch.tensor(choose((3,), 501, 10))
    small, large = torch.tensor(draw((4, 3, 32, 32), 500, 4.0)), torch.tensor(draw((4, 3, 224, 224), 500, 4.0))
    four, thousand = torch.tensor(choose((4,), 501, 10)), torch.tensor(choose((4,), 501, 1000))
    text = lambda context, vocabulary: (torch.tensor(choose((3, context), 500, vocabulary)), torch.tensor(choose((3, context), 501, vocabulary)), entropy, False)
    dvae = DVAE()
    names = lambda m: [name for name, _ in m.named_parameters()]
    jobs = {
        "quickstart": in_torch(mlp(), vector, digits, entropy, False),
        "quickstart keras": in_keras(keras_mlp(), names(mlp()), vector, digits),
        "mnist-mlp": in_torch(mlp(), vector, digits, entropy, False),
        "mnist-mlp keras": in_keras(keras_mlp(), names(mlp()), vector, digits),
        "digits-graph": in_torch(Digits(), vector, digits, entropy, False),
        "mnist-cnn": in_torch(cnn(), vector, digits, entropy, True),
        "mnist-autoencoder": in_torch(Autoencoder(), vector, vector, F.mse_loss, False),
        "mnist-dvae": in_torch(dvae, vector, vector, lambda y, x: F.mse_loss(y, x) + dvae.penalty, False),
        "lstm-shakespeare": in_torch(TextLSTM(65), *text(64, 65)),
        "gpt-shakespeare": in_torch(GPT(65, 64), *text(64, 65)),
        "mnist-dalle": in_torch(GPT(45, 51), *text(51, 45)[:2], dalle, False),
        "gpt-source": in_torch(GPT(256, 128), *text(128, 256)),
        "resnet18-cifar10": in_torch(small_resnet(), small, four, entropy, False, 0.0002),
        "mobilenetv2-cifar10": in_torch(mobilenet(10, True), small, four, entropy, False, 0.00003),
        "mobilenetv2-imagenet": in_torch(mobilenet(1000, False), large, thousand, entropy, False, 0.00003),
        "mobilenetv2-imagenet-keras keras": in_keras(keras.applications.MobileNetV2(weights=None), names(mobilenet(1000, False)), large.permute(0, 2, 3, 1), thousand, 0.00003),
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "steps.json")
    with open(path, "w") as f:
        f.write('{"torch": "%s", "torchvision": "%s", "keras": "%s", "jobs": {\n%s\n}}\n' % (
            torch.__version__, torchvision.__version__, keras.__version__, ",\n".join('"%s": %s' % (k, json.dumps(v, separators=(",", ":"))) for k, v in jobs.items())))


main()
