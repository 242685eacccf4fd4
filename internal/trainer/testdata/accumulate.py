"""Writes accumulate.json: steps that PyTorch makes with gradient accumulation, for TestAccumulationAsPyTorch. The rows, the weights and the
model are those of golden.py.

    python3 testdata/accumulate.py
"""
import json
import pathlib
import struct

import torch

HERE = pathlib.Path(__file__).parent
WEIGHTS = torch.tensor([1.0, 2.0, 0.5])  # of the classes, so that targets do not count alike
ORDERS = [[2, 7, 1, 4, 6, 9, 5, 0, 8, 11, 3, 10], [11, 0, 6, 7, 5, 2, 3, 1, 8, 4, 9, 10]]  # of the first epochs with seed 1
STEPS = [(0, 4, 2), (8, 2, 2)]  # of an epoch: the first row, the size and the number of micro-batches


def weights():
    data = (HERE / "weights.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    state = {}
    for name, t in json.loads(data[8:8 + size]).items():
        begin, end = (8 + size + at for at in t["data_offsets"])
        dtype = {"F32": torch.float32, "I64": torch.int64}[t["dtype"]]
        state[name.removeprefix("module.")] = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype).reshape(t["shape"])
    return state


rows = [line.split(",") for line in (HERE / "rows.csv").read_text().split()[1:]]
x = torch.tensor([[float(v) for v in r[:4]] for r in rows])
y = torch.tensor([int(r[4][1:]) for r in rows])
m = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
m.load_state_dict(weights())
o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
for order in ORDERS:
    for first, size, micros in STEPS:
        o.zero_grad()
        for k in range(micros):
            batch = order[first + k * size:first + (k + 1) * size]
            torch.nn.functional.cross_entropy(m(x[batch]), y[batch], weight=WEIGHTS, reduction="sum").backward()
        for p in m.parameters():
            p.grad /= WEIGHTS[y[order[first:first + size * micros]]].sum()
        o.step()
tensors = {name: t.flatten().tolist() for name, t in m.state_dict().items() if t.dtype == torch.float32}
(HERE / "accumulate.json").write_text(json.dumps({"torch": torch.__version__, "orders": ORDERS, "tensors": tensors}, indent=1) + "\n")
