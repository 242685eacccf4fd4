"""Writes the same rows with pandas, pyarrow and NumPy: cd testdata && python write.py"""
import gzip
import json
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

n = 200
rng = np.random.default_rng(3)
words = ["red", "green", 'say "hi", twice', "zwei\nZeilen", "größe", ""]
rows = pd.DataFrame({
    "id": np.arange(n, dtype=np.int64) * 1_000_003,
    "height": rng.normal(size=n).round(4),
    "small": rng.normal(size=n).astype(np.float32),
    "colour": [words[i % 5] for i in range(n)],
    "flag": (np.arange(n) % 3 == 0),
})
rows.loc[7, "height"] = np.nan
rows.loc[11, "colour"] = None
rows.to_csv("rows.csv", index=False)
rows.to_csv("rows.tsv", index=False, sep="\t")
open("bom-crlf.csv", "wb").write(b"\xef\xbb\xbf" + rows.to_csv(index=False, lineterminator="\r\n").encode())
rows.to_csv("rows.csv.gz", index=False)
rows.to_csv("semicolon.csv", index=False, sep=";")
rows.to_json("rows.jsonl", orient="records", lines=True, double_precision=15, force_ascii=False)
schema = pa.Table.from_pandas(rows, preserve_index=False)
for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(schema, f"rows-{codec}.parquet", compression=codec, row_group_size=77)
pq.write_table(schema, "plain.parquet", use_dictionary=False, data_page_version="2.0", write_statistics=False)

matrix = rng.normal(size=(n, 2, 3)).astype(np.float32)
np.save("matrix.npy", matrix)
np.savez("rows.npz", x=matrix, id=rows["id"].to_numpy(), flag=rows["flag"].to_numpy())
np.savez_compressed("packed.npz", x=matrix, id=rows["id"].to_numpy(), flag=rows["flag"].to_numpy())
np.save("half-big.npy", matrix[:, 0, 0].astype(">f2"))
np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
np.save("fortran.npy", np.asfortranarray(matrix[:, 0]))
nested = pa.table({
    "x": pa.array([[list(map(float, r)) for r in m] for m in matrix[:20]], pa.list_(pa.list_(pa.float32()))),
    "image": pa.array([{"bytes": bytes([i, 255]), "path": f"{i}.png"} for i in range(20)]),
    "ids": pa.array([[i, i + 1] if i != 3 else [] for i in range(19)] + [None], pa.list_(pa.int32())),
    "when": pa.array([i for i in range(20)], pa.timestamp("ms")),
    "price": pa.array([i * 100 + 25 for i in range(20)], pa.int64()).cast(pa.decimal128(20, 0)),
    "tags": pa.array([["a", "b"]] * 20),
})
pq.write_table(nested, "nested.parquet")
with open("nested.jsonl", "w") as f:
    for m, i in zip(matrix[:20], range(20)):
        f.write(json.dumps({"x": [[float(v) for v in r] for r in m], "image": {"path": f"{i}.png"}, "tags": ["a", "b"], "many": [{"a": 1}]}) + "\n")
