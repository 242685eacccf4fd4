# PyTorch: training steps of transformers in the shapes of bench/peers/cases.go, one thread, AdamW, no dropout. Random tokens.
# usage: [MODE=eager|fused|compile] transformers.py t5|bert|bert-small|gpt2 [STEPS]
# fused: scaled_dot_product_attention and fused AdamW; compile: that, and torch.compile.
import os, resource, sys, time

SHAPES = {  # vocabulary, width, hidden, heads, depth, batch, source, target
    't5': (32128, 512, 2048, 8, 6, 4, 64, 64),
    'bert': (30522, 512, 2048, 8, 4, 4, 128, 0),
    'bert-small': (65, 128, 512, 4, 4, 32, 64, 0),
    'gpt2': (50257, 768, 3072, 12, 12, 1, 256, 0),
}


def measure(name, mode, steps):
    import torch, torch.nn as nn, torch.nn.functional as F
    torch.set_num_threads(1)
    torch.manual_seed(0)
    V, D, FF, H, L, B, S, T = SHAPES[name]
    t5, bert = name == 't5', name.startswith('bert')

    class Attention(nn.Module):
        def __init__(s, causal):
            super().__init__()
            s.causal = causal
            s.q, s.k, s.v, s.o = (nn.Linear(D, D, bias=not t5) for _ in range(4))

        def forward(s, x, y, bias):
            split = lambda t: t.view(t.shape[0], t.shape[1], H, D // H).transpose(1, 2)
            q, k, v = split(s.q(x)), split(s.k(y)), split(s.v(y))
            scale = 1.0 if t5 else (D // H) ** -0.5
            if mode == 'eager':
                w = q @ k.transpose(-2, -1) * scale
                if bias is not None: w = w + bias
                elif s.causal: w = w.masked_fill(MASK[:w.shape[-2], :w.shape[-1]] == 0, float('-inf'))
                z = F.softmax(w, -1) @ v
            else:
                z = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=s.causal and bias is None, scale=scale)
            return s.o(z.transpose(1, 2).reshape(x.shape))

    class Block(nn.Module):
        def __init__(s, decodes=False):
            super().__init__()
            norm = (lambda: nn.RMSNorm(D, eps=1e-6)) if t5 else (lambda: nn.LayerNorm(D))
            s.n1, s.a, s.n2 = norm(), Attention(decodes or name == 'gpt2'), norm()
            if t5 and decodes: s.nc, s.c = norm(), Attention(False)
            s.up, s.down = nn.Linear(D, FF, bias=not t5), nn.Linear(FF, D, bias=not t5)

        def mlp(s, x):
            h = s.up(x)
            return s.down(F.relu(h) if t5 else F.gelu(h, approximate='tanh' if name == 'gpt2' else 'none'))

        def forward(s, x, bias=None, encoded=None):
            if bert:
                x = s.n1(x + s.a(x, x, None))
                return s.n2(x + s.mlp(x))
            h = s.n1(x)
            x = x + s.a(h, h, bias)
            if encoded is not None: x = x + s.c(s.nc(x), encoded, None)
            return x + s.mlp(s.n2(x))

    class Model(nn.Module):
        def __init__(s):
            super().__init__()
            s.words = nn.Embedding(V, D)
            nn.init.normal_(s.words.weight, std=0.02)
            s.blocks = nn.ModuleList(Block() for _ in range(L))
            if t5:
                s.decoder = nn.ModuleList(Block(True) for _ in range(L))
                s.b1, s.b2 = nn.Embedding(32, H), nn.Embedding(32, H)
                s.f1, s.f2 = nn.RMSNorm(D, eps=1e-6), nn.RMSNorm(D, eps=1e-6)
                return
            s.places = nn.Embedding(S, D)
            s.final = nn.LayerNorm(D)
            if bert:
                s.segments = nn.Embedding(2, D)
                s.first, s.dense, s.bias = nn.LayerNorm(D), nn.Linear(D, D), nn.Parameter(torch.zeros(V))

        def forward(s, x, shifted, y):
            if t5:
                h, bias = s.words(x), s.b1(BUCKETS).permute(2, 0, 1)[None]
                for b in s.blocks: h = b(h, bias)
                h, z, bias = s.f1(h), s.words(shifted), s.b2(BUCKETS).permute(2, 0, 1)[None] + CAUSAL
                for b in s.decoder: z = b(z, bias, h)
                return F.cross_entropy((s.f2(z) * D ** -0.5).view(-1, D) @ s.words.weight.t(), y.view(-1))
            h = s.words(x) + s.places(torch.arange(S))
            if bert: h = s.first(h + s.segments(torch.zeros_like(x)))
            for b in s.blocks: h = b(h)
            if bert: return F.cross_entropy(F.linear(s.final(F.gelu(s.dense(h))).view(-1, D), s.words.weight, s.bias), y.view(-1))
            return F.cross_entropy(F.linear(s.final(h).view(-1, D), s.words.weight), y.view(-1))

    MASK = torch.tril(torch.ones(S, S))
    CAUSAL = torch.zeros(S, S).masked_fill(MASK == 0, float('-inf'))
    BUCKETS = (torch.arange(S)[None] - torch.arange(S)[:, None]).clamp(-15, 16) + 15
    m = Model()
    o = torch.optim.AdamW(m.parameters(), lr=1e-4, fused=mode != 'eager')
    f = torch.compile(m) if mode == 'compile' else m
    x, shifted, y = torch.randint(0, V, (B, S)), torch.randint(0, V, (B, max(T, 1))), torch.randint(0, V, (B, T or S))

    def run(n):
        for _ in range(n):
            o.zero_grad()
            f(x, shifted, y).backward()
            o.step()

    run(2)
    wall, cpu = time.time(), time.process_time()
    run(steps)
    wall, cpu = time.time() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parameters = sum(p.numel() for p in m.parameters())
    print(f'{name} {mode}: {steps / wall:.4f} steps/s, {1000 * cpu / steps:.1f} cpu-ms/step, {peak:.0f} MiB, {parameters} parameters', flush=True)


measure(sys.argv[1], os.environ.get('MODE', 'eager'), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
