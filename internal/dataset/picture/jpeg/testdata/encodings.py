"""Writes encodings.json: JPEG files of every kind that is read, as Pillow's and libjpeg-turbo's encoders write them, each with the SHA-256 of the bytes
that Pillow makes of it by convert("RGB").

usage: python3 encodings.py [COUNT SEED FILE]     (any interpreter with Pillow, numpy and simplejpeg; COUNT random files to another place, to compare more)
"""
import base64
import hashlib
import io
import json
import os
import sys

import numpy
import simplejpeg
from PIL import Image

random = numpy.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 1)


def picture(columns, rows, channels=3):
    """Smooth colours with noise and edges: all frequencies, and values beyond the range of bytes after quantisation."""
    y, x = numpy.mgrid[0:rows, 0:columns]
    planes = []
    for _ in range(channels):
        a, b, c, d = random.uniform(-0.5, 0.5, 4)
        plane = 128 + 150 * numpy.sin(a * x + b * y) * numpy.cos(c * x + d * y) + random.normal(0, random.choice([0, 5, 60]), (rows, columns))
        plane[random.integers(0, rows):, random.integers(0, columns):] = random.choice([0, 255])
        planes.append(plane)
    return numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8)


def pillow(array, mode="RGB", **options):
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, "JPEG", **options)
    return out.getvalue()


def turbo(array, subsampling, quality, progressive=False):
    return simplejpeg.encode_jpeg(numpy.ascontiguousarray(array), quality=quality, colorspace="RGB", colorsubsampling=subsampling)


def ycck(raw):
    at = raw.index(b"Adobe")
    return raw[:at + 11] + b"\x02" + raw[at + 12:]


def cases():
    for quality in (1, 10, 50, 75, 90, 95, 100):
        for subsampling in (0, 1, 2):
            yield f"q{quality}-s{subsampling}", pillow(picture(37, 29), quality=quality, subsampling=subsampling)
    for subsampling in (0, 1, 2):
        yield f"progressive-s{subsampling}", pillow(picture(45, 35), quality=80, subsampling=subsampling, progressive=True)
        yield f"restart-s{subsampling}", pillow(picture(45, 35), quality=80, subsampling=subsampling, restart_marker_blocks=2)
        yield f"progressive-restart-s{subsampling}", pillow(picture(45, 35), quality=60, subsampling=subsampling, progressive=True, restart_marker_rows=1)
        yield f"optimised-s{subsampling}", pillow(picture(33, 17), quality=85, subsampling=subsampling, optimize=True)
    for columns, rows in ((1, 1), (1, 17), (17, 1), (2, 2), (3, 5), (5, 3), (4, 40), (16, 16), (17, 33)):
        for subsampling in (0, 1, 2):
            yield f"size{columns}x{rows}-s{subsampling}", pillow(picture(columns, rows), quality=90, subsampling=subsampling, progressive=columns == 17)
    for subsampling in ("411", "440"):
        for columns, rows in ((45, 35), (7, 9), (1, 3)):
            yield f"s{subsampling}-{columns}x{rows}", turbo(picture(columns, rows), subsampling, 85)
    yield "grey", pillow(picture(30, 20, 1)[:, :, 0], "L", quality=75)
    yield "grey-progressive", pillow(picture(30, 21, 1)[:, :, 0], "L", quality=75, progressive=True)
    yield "rgb", pillow(picture(30, 21), quality=75, keep_rgb=True)
    yield "rgb-progressive", pillow(picture(30, 21), quality=75, keep_rgb=True, progressive=True)
    for name, change in (("cmyk", lambda raw: raw), ("ycck", ycck)):
        yield name, change(pillow(picture(30, 21, 4), "CMYK", quality=75))
        yield name + "-progressive", change(pillow(picture(30, 21, 4), "CMYK", quality=75, progressive=True))


def more(count):
    for k in range(count):
        columns, rows = (int(n) for n in random.integers(1, 120, 2))
        quality = int(random.integers(1, 101))
        if k % 3 == 0:
            yield f"turbo{k}", turbo(picture(columns, rows), ("444", "422", "420", "440", "411")[random.integers(0, 5)], quality)
            continue
        options = dict(quality=quality, subsampling=int(random.integers(0, 3)), progressive=bool(random.integers(0, 2)), optimize=bool(random.integers(0, 2)))
        if random.integers(0, 3) == 0:
            options["restart_marker_blocks"] = int(random.integers(1, 20))
        yield f"pillow{k}", pillow(picture(columns, rows), **options)


here = os.path.dirname(os.path.abspath(__file__))
target = sys.argv[3] if len(sys.argv) > 3 else os.path.join(here, "encodings.json")
files = {}
for name, raw in more(int(sys.argv[1])) if len(sys.argv) > 1 else cases():
    m = Image.open(io.BytesIO(raw)).convert("RGB")
    files[name] = {"columns": m.width, "rows": m.height, "file": base64.b64encode(raw).decode(), "sha256": hashlib.sha256(m.tobytes()).hexdigest()}
with open(target, "w") as f:
    json.dump(files, f, indent=0)
    f.write("\n")
