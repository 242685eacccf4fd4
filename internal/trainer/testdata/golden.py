"""Writes golden.json, rows.csv and weights.safetensors: what PyTorch makes of a small model in some steps with groups of parameters
and frozen ones, for TestStepsAsPyTorch.

    python3 testdata/golden.py
"""
import json
import pathlib
import struct

import torch

HERE = pathlib.Path(__file__).parent
ROWS, STEPS = 12, 5


def save(state, path):
    """A safetensors file, as a wrapped model saves it."""
    header, data = {}, b""
    for name, t in state.items():
        raw = t.numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int64: "I64"}[t.dtype]
        header["module." + name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def model(state=None):
    torch.manual_seed(5)
    # Without a bias before the norm, whose gradient is nothing but rounding.
    m = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    if state:
        m.load_state_dict(state)
    return m


def groups(m, rate, decay):
    """Layer 3 at a tenth of the rate, with a decay of its own; no norm and no bias decays."""
    for name, p in m.named_parameters():
        own = name.startswith("3.")
        yield {"params": [p], "lr": rate * 0.1 if own else rate, "weight_decay": 0 if p.ndim <= 1 else 0.2 if own else decay}


def run(start, x, y, make, rate, decay, frozen, clip, **settings):
    m = model(start)
    for name, p in m.named_parameters():
        p.requires_grad = not name.startswith(tuple(f + "." for f in frozen))
    o = make([g for g in groups(m, rate, decay) if g["params"][0].requires_grad], lr=rate, **settings)
    for _ in range(STEPS):
        o.zero_grad()
        torch.nn.functional.cross_entropy(m(x), y).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_([p for p in m.parameters() if p.requires_grad], clip)
        o.step()
    return {name: t.flatten().tolist() for name, t in m.state_dict().items() if t.dtype == torch.float32}


generator = torch.Generator().manual_seed(2)
x = torch.randn(ROWS, 4, generator=generator)
y = torch.arange(ROWS) % 3
with open(HERE / "rows.csv", "w") as f:
    f.write("a,b,c,d,kind\n")
    for row, kind in zip(x.tolist(), y.tolist()):
        f.write(",".join(repr(v) for v in row) + f",k{kind}\n")
start = model().state_dict()
start["1.running_mean"].uniform_(-1, 1, generator=generator)
start = {k: v.clone() for k, v in start.items()}
save(start, HERE / "weights.safetensors")
cases = []
for frozen, clip in [([], 0), (["0", "1"], 0), (["0"], 0.05)]:
    for kind, make, rate, decay, settings in [
        ("sgd", torch.optim.SGD, 0.05, 0.01, {"momentum": 0.9}),
        ("adam", torch.optim.Adam, 0.01, 0.01, {"eps": 1e-8}),
        ("adamw", torch.optim.AdamW, 0.01, 0.1, {"eps": 1e-8}),
    ]:
        optimizer = {"kind": kind, "form": "pytorch", "lr": rate, "weight_decay": decay}
        if kind == "sgd":
            optimizer["momentum"] = 0.9
        cases.append({"freeze": frozen, "clip": clip, "optimizer": optimizer,
                      "tensors": run(start, x, y, make, rate, decay, frozen, clip, **settings)})
(HERE / "golden.json").write_text(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1) + "\n")
