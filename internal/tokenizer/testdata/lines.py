"""Random lines, the same as those of lines_test.go."""

MASK = (1 << 64) - 1

# Ranges of characters that every version of Unicode in use agrees on. lines_test.go has the same.
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x61, 0x7A), (0x30, 0x39), (0x09, 0x0D), (0x20, 0x20), (0x20, 0x20), (0x00, 0x1F), (0x7F, 0xFF),
          (0xA0, 0x17F), (0x300, 0x345), (0x391, 0x3A1), (0x3B1, 0x3C9), (0x400, 0x45F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x660, 0x669), (0x904, 0x939),
          (0x93C, 0x94D), (0xE01, 0xE30), (0x1100, 0x1112), (0x1161, 0x1175), (0x1E00, 0x1EFF), (0x2000, 0x200F), (0x2010, 0x205E),
          (0x2070, 0x2071), (0x20A0, 0x20AC), (0x2100, 0x2138), (0x2460, 0x24FF), (0x2581, 0x2581), (0x3000, 0x3002), (0x3041, 0x3096),
          (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFB00, 0xFB06), (0xFF01, 0xFF5E), (0xFFFD, 0xFFFD),
          (0x1D400, 0x1D454), (0x1F300, 0x1F320), (0x1F600, 0x1F64F), (0x20000, 0x200FF), (0xE0001, 0xE0001)]
PARTS = ["'s", "'ll", "'VE", "'ſ", "don't", "  ", "\n\n", " \n ", "\r\n", "   x", "<s>", "</s>", "<mask>", " <mask> ", "[MASK]", "[UNK]", "<|end|>", "WORD", "aWORDb",
         "<unk>", "<0x41>", "Ångström", "e\u0301", "ﬁ", "①", "㌀", "가", "\u1112\u1161\u11ab", "a\u0323\u0302", "12345678", "３", "don", "The", " the", " and", "ing", "##ing", "▁the", "▁▁",
         "Élan", "ΑΣ", "İ", "👩\u200d👩\u200d👧", "🇩🇪", "\u0000", "中文", "ー", "hello world"]


class Draws:
    """The generator of lines_test.go: a linear congruential one of 64 bits, of which the upper 31 are taken."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) % n


def fuzzed(count, seed):
    d = Draws(seed)
    lines = []
    for _ in range(count):
        out = []
        for _ in range(d.below(30)):
            if d.below(4) == 0:
                out.append(PARTS[d.below(len(PARTS))])
                continue
            low, high = RANGES[d.below(len(RANGES))]
            for _ in range(1 + d.below(3)):
                out.append(chr(low + d.below(high - low + 1)))
        lines.append("".join(out))
    return lines
