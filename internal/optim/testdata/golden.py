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


def cycle(name, make, keys, momentum, settings, **schedule):
    """An optimizer under OneCycleLR over all steps."""
    p = torch.nn.Parameter(torch.linspace(-1, 2, PARAMS))
    o = make([p], lr=schedule["max_lr"], **settings)
    s = lr.OneCycleLR(o, total_steps=STEPS, **schedule)
    trace, rates, momenta = [], [], []
    for g in sums():
        p.grad = g / COUNT
        rates.append(o.param_groups[0]["lr"])
        momenta.append(momentum(o.param_groups[0]))
        o.step()
        trace.append(p.detach().tolist())
        if len(trace) < STEPS:
            s.step()
    return {"name": name, "rates": rates, "momenta": momenta, "params": trace}


def average(decay):
    """The moving average of the parameters of SGD."""
    p = torch.nn.ParameterList([torch.nn.Parameter(torch.linspace(-1, 2, PARAMS))])
    o = torch.optim.SGD(p, lr=0.1)
    a = torch.optim.swa_utils.AveragedModel(p, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay))
    trace = []
    for g in sums():
        p[0].grad = g / COUNT
        o.step()
        a.update_parameters(p)
        trace.append(a.module[0].detach().tolist())
    return {"decay": decay, "params": trace}


lr = torch.optim.lr_scheduler
adam = ["exp_avg", "exp_avg_sq"]
momentum = ["momentum_buffer"]
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
        "restarts": schedule(lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=7, eta_min=0.05)),
        "longer restarts": schedule(lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.05)),
        "one cycle": schedule(lambda o: lr.OneCycleLR(o, max_lr=0.5, total_steps=26, cycle_momentum=False)),
        "steep cycle": schedule(lambda o: lr.OneCycleLR(o, max_lr=0.5, total_steps=26, pct_start=0.1, div_factor=10, final_div_factor=50, cycle_momentum=False)),
        "falling cycle": schedule(lambda o: lr.OneCycleLR(o, max_lr=0.5, total_steps=26, pct_start=0.0, cycle_momentum=False)),
    },
    "cycles": [
        cycle("adam", torch.optim.Adam, adam, lambda g: g["betas"][0], {"eps": 1e-8}, max_lr=0.02),
        cycle("sgd", torch.optim.SGD, momentum, lambda g: g["momentum"], {"momentum": 0.9}, max_lr=0.1, pct_start=0.4, base_momentum=0.8, max_momentum=0.97),
    ],
    "averages": [average(0.9), average(0.4)],
    "clips": [clip(0.5), clip(100.0)],
}, sys.stdout, indent=1)
print()
