# PyTorch's float32 matrix product on one thread. usage: gemm.py MxKxN...
import sys, time, statistics, torch
torch.set_num_threads(1)
for name in sys.argv[1:]:
    m, k, n = map(int, name.split("x"))
    a, b, c = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)
    products, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.02:
        torch.mm(a, b, out=c)
        products += 1
    rounds = []
    for _ in range(25):
        start = time.perf_counter()
        for _ in range(products):
            torch.mm(a, b, out=c)
        rounds.append((time.perf_counter() - start) / products)
    print(f"gemm {name} {2 * m * k * n / statistics.median(rounds) / 1e9:.1f} GFLOP/s", flush=True)
