"""Writes the pictures of the shards (write.py) as webdataset writes compressed shards, as JSON lines with the pictures in base64, and arrays without axes beside what webdataset and NumPy
read of them: cd testdata && python compressed.py     (needs webdataset, numpy and zstandard)"""
import base64
import glob
import json

import numpy as np
import webdataset
import zstandard

golden = []
for part in ("train", "test"):
    samples = list(webdataset.WebDataset(sorted(glob.glob(f"shard-{part}-*.tar")), shardshuffle=False))
    name = f"packed-{part}.tar.gz"
    with webdataset.TarWriter(name, compress=True, mtime=0) as sink:
        for k, s in enumerate(samples):
            number = [np.float32(k) / 4, np.int64(k - 3), np.bool_(k % 2)][k % 3]
            sink.write({"__key__": s["__key__"], "png": s["png"], "cls": s["cls"], "number.npy": np.asarray(number)})
    for s in webdataset.WebDataset(name, shardshuffle=False).decode("pil"):
        golden.append(float(s["number.npy"]))
    with open(f"base64-{part}.jsonl", "w") as f:
        for k, s in enumerate(samples):
            text = base64.b64encode(s["png"]).decode()
            label = json.loads(s["json"])["label"]
            f.write(json.dumps({"image": [text, text.rstrip("="), "data:image/png;base64," + text][k % 3], "label": label}) + "\n")
with open("shard-train-000000.tar", "rb") as f, open("packed-zstd.tar.zst", "wb") as out:
    out.write(zstandard.ZstdCompressor().compress(f.read()))
json.dump(golden, open("numbers.json", "w"))
