"""Records one training step of adapters as PEFT has them into lora.json beside this file.

usage: python3 lora.py        (any interpreter with torch and peft; the recorded file names the versions)

The model is that of steps.py's mlp with adapters on two of its layers, whose values are hashes too. The file has the loss, the adapters after a step of
AdamW, and the merged weights of a layer.
"""
import json
import os
import zlib

import numpy
import peft
import torch
import torch.nn as nn
import torch.nn.functional as F


def draw(shape, seed, scale, shift=0.0):
    x = numpy.arange(int(numpy.prod(shape)), dtype=numpy.uint32) + numpy.uint32(seed)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    x ^= x >> numpy.uint32(16)
    return ((x.astype(numpy.float64) / 2**32 - 0.5) * scale + shift).astype(numpy.float32).reshape(shape)


def first(name, shape):
    seed = zlib.crc32(name.encode())
    if len(shape) == 1:
        return draw(shape, seed, 0.4, 1.0 if name.endswith("weight") else 0.0)
    return draw(shape, seed, 2 * (3 / (numpy.prod(shape) / shape[0])) ** 0.5)


def number(x):
    return float("%.8g" % float(x))


def main():
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=6, target_modules=["0", "2"], modules_to_save=["4"]))
    short = lambda name: name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default", "").replace(".modules_to_save", "").replace(".original_module", "")
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.tensor(first(short(name), tuple(p.shape))))
    inputs = torch.tensor(draw((3, 784), 500, 1.0, 0.5))
    x = numpy.arange(3, dtype=numpy.uint32) + numpy.uint32(501)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    targets = torch.tensor(((x ^ (x >> numpy.uint32(16))) % 10).astype(numpy.int64))
    trained = {short(name): p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), 0.001, weight_decay=0.01)
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    optimizer.step()
    after = {name: [number(v) for v in p.detach().reshape(-1)[:200]] for name, p in trained.items()}
    logits = [number(v) for v in model(inputs).detach().reshape(-1)]
    merged = model.merge_and_unload()[2].weight.detach()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lora.json")
    with open(path, "w") as f:
        f.write('{"peft": "%s", "torch": "%s", "loss": %s, "logits": %s, "merged": %s, "after": {\n%s\n}}\n' % (
            peft.__version__, torch.__version__, number(loss.detach()), json.dumps(logits), json.dumps([number(v) for v in merged.reshape(-1)[:200]]),
            ",\n".join('"%s": %s' % (name, json.dumps(values)) for name, values in after.items())))


main()
