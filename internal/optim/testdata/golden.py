"""Writes golden.json: what PyTorch's optimizers, schedules and clipping do, for TestPyTorch.

    python3 testdata/golden.py > testdata/golden.json
"""
import json
import sys

import torch

PARAMS, STEPS, COUNT = 7, 12, 24


def sums():
    """The summed gradients of each step, over COUNT samples."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(PARAMS, generator=generator) * COUNT for _ in range(STEPS)]


def optimizer(name, make, keys, **settings):
    p = torch.nn.Parameter(torch.linspace(-1, 2, PARAMS))
    o = make([p], **settings)
    trace = []
    for g in sums():
        p.grad = g / COUNT
        o.step()
        trace.append(p.detach().tolist())
    state = [o.state[p][k].tolist() for k in keys]
    settings["betas"] = list(settings.get("betas", ()))
    return {"name": name, "settings": settings, "params": trace, "state": state}


def schedule(make):
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    s = make(o)
    rates = []
    for _ in range(25):
        rates.append(o.param_groups[0]["lr"])
        o.step()
        s.step()
    return rates


def clip(bound):
    p = torch.nn.Parameter(torch.zeros(PARAMS))
    p.grad = sums()[0] / COUNT
    torch.nn.utils.clip_grad_norm_([p], bound)
    return {"bound": bound, "grad": p.grad.tolist()}


adam = ["exp_avg", "exp_avg_sq"]
momentum = ["momentum_buffer"]
lr = torch.optim.lr_scheduler
json.dump({
    "torch": torch.__version__,
    "count": COUNT,
    "start": torch.linspace(-1, 2, PARAMS).tolist(),
    "sums": [g.tolist() for g in sums()],
    "optimizers": [
        optimizer("adam", torch.optim.Adam, adam, lr=0.02, betas=(0.9, 0.99), eps=1e-8),
        optimizer("adam", torch.optim.Adam, adam, lr=0.02, betas=(0.8, 0.999), eps=1e-3, weight_decay=0.1),
        optimizer("adamw", torch.optim.AdamW, adam, lr=0.02, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
        optimizer("sgd", torch.optim.SGD, [], lr=0.1, weight_decay=0.01),
        optimizer("sgd", torch.optim.SGD, momentum, lr=0.1, momentum=0.9),
        optimizer("sgd", torch.optim.SGD, momentum, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
    ],
    "schedules": {
        "step": schedule(lambda o: lr.StepLR(o, step_size=7, gamma=0.3)),
        "cosine": schedule(lambda o: lr.CosineAnnealingLR(o, T_max=24, eta_min=0.05)),
        "linear": schedule(lambda o: lr.LinearLR(o, start_factor=1, end_factor=0.1, total_iters=20)),
    },
    "clips": [clip(0.5), clip(100.0)],
}, sys.stdout, indent=1)
print()
