"""Records what Pillow and torchvision make of pictures of several sizes into fit.json beside this file.

usage: python3 fit.py        (any interpreter with torchvision, Pillow and numpy; the recorded file names the versions)

The pictures are hashes that the Go test repeats. For each it has the size and the SHA-256 of the bytes that come out, row by row, and the first
of them.
"""
import hashlib
import json
import os

import numpy
import PIL
import torchvision
from PIL import Image
from torchvision import transforms


def picture(columns, rows):
    x = numpy.arange(columns * rows * 3, dtype=numpy.uint32) + numpy.uint32((columns * 4099 + rows) & 0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(multiplier)
    return Image.fromarray(((x ^ (x >> numpy.uint32(16))) >> numpy.uint32(24)).astype(numpy.uint8).reshape(rows, columns, 3))


def main():
    sizes = [(1, 1), (5, 3), (7, 40), (31, 32), (32, 31), (50, 33), (451, 300), (300, 451), (600, 400), (257, 256), (224, 224), (640, 427), (100, 1000), (1000, 100)]
    cases = []
    for size in sizes:
        m = picture(*size)
        ways = [({"edge": 256, "crop": 224}, transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(m)),
                ({"edge": 40, "crop": 33}, transforms.Compose([transforms.Resize(40), transforms.CenterCrop(33)])(m)),
                ({"size": [224, 224], "nearest": True}, m.resize((224, 224), Image.NEAREST)),
                ({"size": [17, 90], "nearest": True}, m.resize((17, 90), Image.NEAREST)),
                ({"size": [33, 20]}, m.resize((33, 20), Image.BILINEAR))]
        for way, out in ways:
            raw = numpy.asarray(out).tobytes()
            cases.append(dict({"columns": size[0], "rows": size[1]}, **way, out=list(out.size), first=list(raw[:12]), sum=hashlib.sha256(raw).hexdigest()))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fit.json")
    with open(path, "w") as f:
        f.write('{"pillow": "%s", "torchvision": "%s", "cases": [\n%s\n]}\n' % (PIL.__version__, torchvision.__version__, ",\n".join(map(json.dumps, cases))))


main()
