"""Writes JPEGs with colours of half the resolution, in blocks of one colour so that every decoder agrees on the blocks, and adds what Pillow
makes of them to pillow.json: what shows is how a decoder interpolates.

usage: python3 chroma.py        (any interpreter with Pillow and numpy)
"""
import base64
import json
import os

import numpy
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
path = os.path.join(here, "pillow.json")
with open(path) as f:
    files = json.load(f)
random = numpy.random.default_rng(1)
for name, columns, rows, subsampling in (("chroma422.jpg", 43, 29, 1), ("chroma420.jpg", 43, 29, 2), ("chroma420-thin.jpg", 4, 40, 2), ("chroma422-thin.jpg", 3, 40, 1)):
    blocks = random.integers(0, 256, (rows // 16 + 1, columns // 16 + 1, 3), numpy.uint8)
    pixels = numpy.repeat(numpy.repeat(blocks, 16, 0), 16, 1)[:rows, :columns]
    file = os.path.join(here, name)
    Image.fromarray(pixels).save(file, quality=100, subsampling=subsampling)
    files[name] = {"columns": columns, "rows": rows, "rgb": base64.b64encode(Image.open(file).convert("RGB").tobytes()).decode(), "tolerance": 0}
with open(path, "w") as f:
    json.dump(files, f, indent=1)
    f.write("\n")
