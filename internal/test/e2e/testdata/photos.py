"""Records what torchvision's and Keras' MobileNetV2 see in photos into photos.json beside this file.

usage: KERAS_BACKEND=torch python3 photos.py PHOTOS        (any interpreter with torchvision, Pillow and keras; PHOTOS is a folder)

The weights are hashes that the Go test repeats, by the tensors' names: trained ones are too large to be kept here. The file has the
statistics of the batch norms (those of the photos, as float16) and the last layer's scale and biases, chosen so that the photos differ. For each photo it has
the ten likeliest of 1,000 classes with their probabilities, and the probability of every class whose number is a multiple of 50.
"""
import base64
import json
import os
import sys
import zlib

import keras
import numpy
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms


def draw(shape, seed, scale, shift):
    x = numpy.arange(int(numpy.prod(shape)), dtype=numpy.uint32) + numpy.uint32(seed)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    x ^= x >> numpy.uint32(16)
    return ((x.astype(numpy.float64) / 2**32 - 0.5) * scale + shift).astype(numpy.float32).reshape(shape)


def values(name, shape, inputs):
    """The values of a tensor, by its last name: weights that keep activations alive."""
    seed, last = zlib.crc32(name.encode()), name.replace("/", ".").split(".")[-1]
    if last in ("bias", "beta"):
        return draw(shape, seed, 0.4, 0.2)
    if len(shape) == 1:
        return draw(shape, seed, 1, 1)
    return draw(shape, seed, 2 * (6 / inputs) ** 0.5, 0)


def result(probabilities):
    best = sorted(range(1000), key=lambda k: -probabilities[k])[:10]
    return {"best": best, "chances": [float("%.9g" % probabilities[k]) for k in best],
            "others": [float("%.9g" % probabilities[k]) for k in range(0, 1000, 50)]}


def spread(name, shape, features):
    """A scale and biases of the last layer, whose weight has its outputs in the first axis, that spread the features' logits around 0."""
    weight = draw(shape, zlib.crc32(name.encode()), 1, 0)
    weight = weight if shape[0] == 1000 else weight.T
    logits = features @ weight.T
    scale = float("%.3g" % (1 / (logits - logits.mean(0)).std()))
    return scale, (-scale * logits.mean(0)).astype(numpy.float32)


def rounded(statistics):
    """Rounds tensors to float16, and returns them as text."""
    out = {}
    for name, t in statistics.items():
        half = t.detach().numpy().astype("<f2")
        with torch.no_grad():
            t.copy_(torch.tensor(half.astype(numpy.float32)))
        out[name] = base64.b64encode(half.tobytes()).decode()
    return out


def main():
    folder = sys.argv[1]
    photos = {name: Image.open(os.path.join(folder, name)).convert("RGB") for name in sorted(os.listdir(folder)) if name.endswith((".png", ".jpg"))}
    model = torchvision.models.mobilenet_v2(weights=None).eval()
    state = model.state_dict()
    for name, t in state.items():
        if t.dim() > 0:
            t.copy_(torch.tensor(values(name, tuple(t.shape), t[0].numel())))
    prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
                                  transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    out, heads, norms = {"torchvision": {}, "keras": {}}, {}, {}
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.momentum = 1.0
        model.train()(torch.stack([prepare(photo) for photo in photos.values()]))
        model.eval()
        norms["torchvision"] = rounded({name: t for name, t in state.items() if name.endswith(("running_mean", "running_var"))})
        features = numpy.stack([model.features(prepare(photo)[None]).mean((2, 3))[0].numpy() for photo in photos.values()])
    scale, bias = heads["torchvision"] = spread("classifier.1.weight", (1000, 1280), features)
    state["classifier.1.weight"].copy_(torch.tensor(draw((1000, 1280), zlib.crc32(b"classifier.1.weight"), scale, 0)))
    state["classifier.1.bias"].copy_(torch.tensor(bias))
    for name, photo in photos.items():
        with torch.no_grad():
            out["torchvision"][name] = result(torch.softmax(model(prepare(photo)[None]), 1)[0].numpy())
    model = keras.applications.MobileNetV2(weights=None)
    for w in model.weights:
        shape = tuple(w.shape)
        inputs = 9 if "depthwise/kernel" in w.path else int(numpy.prod(shape[:-1]))
        w.assign(values(w.path, shape, inputs))
    inputs = [keras.applications.mobilenet_v2.preprocess_input(numpy.asarray(p.resize((224, 224), Image.NEAREST)).astype(numpy.float32)[None]) for p in photos.values()]
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    with torch.no_grad():
        model(numpy.concatenate(inputs), training=True)
    statistics = {w.path: w.value for w in model.weights if "/moving_" in w.path}
    norms["keras"] = rounded(statistics)
    body = keras.Model(model.input, model.layers[-2].output)
    features = numpy.concatenate([numpy.asarray(body.predict(x, verbose=0)) for x in inputs])
    scale, bias = heads["keras"] = spread("predictions/kernel", (1280, 1000), features)
    model.layers[-1].set_weights([draw((1280, 1000), zlib.crc32(b"predictions/kernel"), scale, 0), bias])
    for name, x in zip(photos, inputs):
        out["keras"][name] = result(numpy.asarray(model.predict(x, verbose=0))[0])
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "photos.json")
    versions = '"torchvision": "%s", "keras": "%s", "pillow": "%s"' % (torchvision.__version__, keras.__version__, PIL.__version__)
    with open(path, "w") as f:
        heads = {form: {"scale": scale, "bias": [float("%.9g" % b) for b in bias]} for form, (scale, bias) in heads.items()}
        f.write('{"versions": {%s},\n"tensors": %s,\n"heads": %s,\n"norms": %s,\n"photos": {\n%s\n}}\n' % (
            versions, json.dumps({w.path: list(w.shape) for w in model.weights}), json.dumps(heads), json.dumps(norms),
            ",\n".join('"%s": %s' % (form, json.dumps(seen)) for form, seen in out.items())))


main()
