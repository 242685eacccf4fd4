"""Writes golden.json: what torchvision and Pillow make of a picture, for augment_test.go.

    pip install torch torchvision pillow numpy && python golden.py

Pictures are made of a linear congruential generator, so that the test makes the same ones.
"""
import base64, hashlib, json
import numpy as np
import torch
import torchvision
import torchvision.transforms.functional as F
from torchvision.transforms import v2
from torchvision.transforms import InterpolationMode
import PIL
from PIL import Image


def noise(n, state):
    out = np.empty(n, np.uint8)
    for i in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = state >> 24
    return out


def picture(channels, rows, columns):
    planes = noise(channels * rows * columns, rows * 1000 + columns).reshape(channels, rows, columns)
    if channels == 1:
        return Image.fromarray(planes[0], "L")
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)), "RGB")


def planes(im):
    a = np.asarray(im)
    a = a[None] if a.ndim == 2 else a.transpose(2, 0, 1)
    return base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


cases = []


def case(shape, what, im, *numbers, mode="", fill=0):
    cases.append({"shape": list(shape), "what": what, "numbers": list(numbers), "mode": mode, "fill": fill, "want": planes(im)})


for shape in [(3, 9, 11), (1, 10, 10), (3, 12, 12)]:
    im = picture(*shape)
    rows, columns = shape[1:]
    for mode in ["constant", "edge", "reflect", "symmetric"]:
        for down, right in [(-3, 2), (4, -4), (0, 3), (-1, 0)]:
            padded = F.pad(im, [4], fill=7, padding_mode=mode)
            case(shape, "shift", F.crop(padded, down + 4, right + 4, rows, columns), down, right, mode=mode, fill=7)
    case(shape, "mirror", F.hflip(im))
    case(shape, "turn over", F.vflip(im))
    for degrees in [13.7, -42.25, 89.999, 90.0, -90.0, 180.0, 179.5, 0.0, 1e-3, 135.0]:
        case(shape, "rotate", F.rotate(im, degrees, InterpolationMode.BILINEAR, fill=99), degrees, fill=99)
    for top, left, height, width in [(0, 0, rows, 4), (2, 3, 5, 7), (1, 1, 1, 1), (3, 0, 6, columns), (0, 0, rows, columns), (4, 4, 3, 2)]:
        part = F.resized_crop(im, top, left, height, width, [rows, columns], InterpolationMode.BILINEAR)
        case(shape, "enlarge", part, top, left, height, width)
    for factor in [0.0, 0.37, 1.0, 1.61, 3.0]:
        case(shape, "brighten", F.adjust_brightness(im, factor), factor)
        case(shape, "contrast", F.adjust_contrast(im, factor), factor)
        if shape[0] == 3:
            case(shape, "saturate", F.adjust_saturation(im, factor), factor)
    if shape[0] == 3:
        for part in [-0.5, -0.213, 0.0, 0.1, 0.5]:
            case(shape, "hue", F.adjust_hue(im, part), part)

# Every colour, turned by a tenth of the circle.
every = np.arange(2**24, dtype=np.uint32)
every = np.stack([every >> 16, every >> 8, every], -1).astype(np.uint8).reshape(4096, 4096, 3)
turned = np.asarray(F.adjust_hue(Image.fromarray(every, "RGB"), 0.1))

batch = (noise(4 * 3 * 5 * 6, 5).astype(np.float32) / np.float32(255) - np.float32(0.45)) / np.float32(0.22)
batch = torch.from_numpy(batch).reshape(4, 3, 5, 6)


def floats(t):
    return base64.b64encode(t.numpy().astype("<f4").tobytes()).decode()


erased = F.erase(batch, 1, 2, 3, 2, torch.tensor([0.5, -1.0, 2.0])[:, None, None])


class Fixed:
    def __init__(self, value):
        self.value = value

    def sample(self, _):
        return torch.tensor([self.value])


mixed = []
for share in [0.25, 0.7331]:
    labels = torch.tensor([0, 1, 2, 2])
    mixup = v2.MixUp(num_classes=3)
    mixup._dist = Fixed(share)
    values, soft = mixup(batch, labels)
    mixed.append({"share": float(torch.tensor(share)), "values": floats(values), "targets": soft.tolist()})
cut = []
for share, y, x in [(0.3, 2, 5), (0.81, 0, 0), (0.02, 4, 3)]:
    cutmix = v2.CutMix(num_classes=3)
    cutmix._dist = Fixed(share)
    draws = iter([torch.tensor([x]), torch.tensor([y])])
    original, torch.randint = torch.randint, lambda *a, **k: next(draws)
    values, soft = cutmix(batch, torch.tensor([0, 1, 2, 2]))
    torch.randint = original
    cut.append({"share": float(torch.tensor(share)), "y": y, "x": x, "values": floats(values), "targets": soft.tolist()})

json.dump({
    "versions": {"torchvision": torchvision.__version__, "pillow": PIL.__version__},
    "cases": cases, "hues": hashlib.sha256(turned.tobytes()).hexdigest(),
    "erased": floats(erased), "mixed": mixed, "cut": cut,
}, open("golden.json", "w"), indent=0)
