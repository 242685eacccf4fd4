"""Writes the same pictures as a folder, as lists, as shards with webdataset and as Parquet with datasets, and what these libraries read: cd testdata && python write.py"""
import glob
import hashlib
import io
import json
import os

import datasets
import numpy as np
import pyarrow.parquet as pq
import webdataset
from PIL import Image

datasets.fingerprint.Hasher.hash = classmethod(lambda cls, value: "0")  # names of caches; hashing fails with new releases of pyarrow
rng = np.random.default_rng(5)
names = ["cat", "dog", "owl"]


def picture(label):
    pixels = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    pixels[..., label] |= 128
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def make(part, count):
    rows = []
    for label, name in enumerate(names):
        for k in range(count):
            rows.append({"path": f"{part}/{name}/{k:02}.png", "png": picture(label), "label": label, "score": float(np.float32(rng.normal()))})
    return rows


parts = {"train": make("train", 5), "test": make("test", 2)}
features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names), "score": datasets.Value("float32")})
os.makedirs("hub/data", exist_ok=True)
golden = {}
for part, rows in parts.items():
    for row in rows:
        os.makedirs(os.path.dirname("folder/" + row["path"]), exist_ok=True)
        open("folder/" + row["path"], "wb").write(row["png"])
    with open(f"list-{part}.csv", "w") as f:
        f.write("path,label,score\n" + "".join(f"{r['path']},{names[r['label']]},{r['score']!r}\n" for r in rows))
    with open(f"list-{part}.jsonl", "w") as f:
        f.write("".join(json.dumps({"path": r["path"], "label": names[r["label"]], "score": r["score"]}) + "\n" for r in rows))
    n = 3 if part == "train" else 1
    for k in range(n):
        stretch = rows[k * len(rows) // n:(k + 1) * len(rows) // n]
        table = datasets.Dataset.from_list([{"image": {"bytes": r["png"], "path": os.path.basename(r["path"])}, "label": r["label"], "score": r["score"]} for r in stretch], features=features)
        table.to_parquet(f"hub/data/{part}-{k:05}-of-{n:05}.parquet", batch_size=3)
    with webdataset.ShardWriter(f"shard-{part}-%06d.tar", maxcount=6, verbose=0) as sink:
        for k, r in enumerate(rows):
            sink.write({"__key__": f"{part}/{k:04}", "png": r["png"], "cls": r["label"], "json": {"label": names[r["label"]], "score": r["score"], "about": {"k": k}}, "txt": f"picture {k}", "vec.npy": np.arange(3, dtype=np.float32) + k})


def digest(image):
    return hashlib.sha256(np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes()).hexdigest()


read = datasets.load_dataset("parquet", data_files={p: sorted(glob.glob(f"hub/data/{p}-*")) for p in parts})
for part in parts:
    golden["hub " + part] = [{"pixels": digest(r["image"]), "label": r["label"], "score": r["score"]} for r in read[part]]
    shards = sorted(glob.glob(f"shard-{part}-*.tar"))
    samples = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    golden["shards " + part] = [{"key": s["__key__"], "pixels": digest(s["png"]), "label": s["cls"], "score": s["json"]["score"], "text": s["txt"], "vector": s["vec.npy"].tolist()} for s in samples]
json.dump(golden, open("read.json", "w"), indent=0)
