"""Times PyTorch's vector operations with one thread: reads lines "kernel n calls", answers with nanoseconds or -1."""
import sys
import time

import torch

torch.set_num_threads(1)
clock = time.thread_time_ns if sys.argv[1] == "cpu" else time.perf_counter_ns
COLUMNS = 512


def operation(name, n):
    a, b, c = torch.rand(n) * 2 - 1, torch.rand(n) * 2 - 1, torch.empty(n)
    if name == "add":
        return lambda: torch.add(a, b, out=c)
    if name == "relu-backward":
        return lambda: torch.ops.aten.threshold_backward.grad_input(a, b, 0, grad_input=c)
    if name == "exp":
        return lambda: torch.exp(a, out=c)
    if name == "tanh":
        return lambda: torch.tanh(a, out=c)
    if name == "gelu":
        return lambda: torch.nn.functional.gelu(a)
    if name == "gelu-tanh":
        return lambda: torch.nn.functional.gelu(a, approximate="tanh")
    if name == "softmax":
        rows, out = a.view(-1, COLUMNS), c.view(-1, COLUMNS)
        return lambda: torch.softmax(rows, -1, out=out)
    if name == "layer-norm":
        rows, gamma, beta = a.view(-1, COLUMNS), torch.rand(COLUMNS), torch.rand(COLUMNS)
        return lambda: torch.nn.functional.layer_norm(rows, (COLUMNS,), gamma, beta)
    if name == "dropout":
        return lambda: torch.nn.functional.dropout(a, 0.1)
    if name == "adam":
        p = torch.nn.Parameter(a)
        p.grad = b
        try:
            return torch.optim.Adam([p], fused=True).step
        except (RuntimeError, TypeError):
            return torch.optim.Adam([p], foreach=False).step
    return None


with torch.no_grad():
    kept = {}
    for line in sys.stdin:
        name, n, calls = line.split()
        if (name, n) not in kept:
            kept = {(name, n): operation(name, int(n))}
        run = kept[name, n]
        took = -1
        if run:
            run()
            start = clock()
            for _ in range(int(calls)):
                run()
            took = clock() - start
        print(took, flush=True)
