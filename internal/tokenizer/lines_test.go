package tokenizer

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared is where the shared data are, which CI does not have.
const shared = "../../../shared/data"

// ranges and parts are what fuzzed lines are made of; testdata/record.py has the same.
var ranges = [][2]uint64{{0x20, 0x7E}, {0x20, 0x7E}, {0x61, 0x7A}, {0x61, 0x7A}, {0x30, 0x39}, {0x09, 0x0D}, {0x20, 0x20}, {0x20, 0x20}, {0x00, 0x1F}, {0x7F, 0xFF},
	{0xA0, 0x17F}, {0x300, 0x345}, {0x391, 0x3A1}, {0x3B1, 0x3C9}, {0x400, 0x45F}, {0x5D0, 0x5EA}, {0x621, 0x64A}, {0x660, 0x669}, {0x904, 0x939},
	{0x93C, 0x94D}, {0xE01, 0xE30}, {0x1100, 0x1112}, {0x1161, 0x1175}, {0x1E00, 0x1EFF}, {0x2000, 0x200F}, {0x2010, 0x205E},
	{0x2070, 0x2071}, {0x20A0, 0x20AC}, {0x2100, 0x2138}, {0x2460, 0x24FF}, {0x2581, 0x2581}, {0x3000, 0x3002}, {0x3041, 0x3096},
	{0x30A1, 0x30FA}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}, {0xF900, 0xFA2D}, {0xFB00, 0xFB06}, {0xFF01, 0xFF5E}, {0xFFFD, 0xFFFD},
	{0x1D400, 0x1D454}, {0x1F300, 0x1F320}, {0x1F600, 0x1F64F}, {0x20000, 0x200FF}, {0xE0001, 0xE0001}}

var parts = []string{"'s", "'ll", "'VE", "'ſ", "don't", "  ", "\n\n", " \n ", "\r\n", "   x", "<s>", "</s>", "<mask>", " <mask> ", "[MASK]", "[UNK]", "<|end|>", "WORD", "aWORDb",
	"<unk>", "<0x41>", "Ångström", "e\u0301", "ﬁ", "①", "㌀", "가", "\u1112\u1161\u11ab", "a\u0323\u0302", "12345678", "３", "don", "The", " the", " and", "ing", "##ing", "▁the", "▁▁",
	"Élan", "ΑΣ", "İ", "👩\u200d👩\u200d👧", "🇩🇪", "\u0000", "中文", "ー", "hello world"}

// draws is a linear congruential generator of 64 bits, of which the upper 31 are taken.
type draws uint64

func (d *draws) below(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407
	return int(uint64(*d) >> 33 % uint64(n))
}

// fuzzed are lines of all kinds of characters.
func fuzzed(count int, seed uint64) []string {
	d := draws(seed)
	lines := make([]string, count)
	for i := range lines {
		var out strings.Builder
		for range d.below(30) {
			if d.below(4) == 0 {
				out.WriteString(parts[d.below(len(parts))])
				continue
			}
			r := ranges[d.below(len(ranges))]
			for range 1 + d.below(3) {
				out.WriteRune(rune(r[0]) + rune(d.below(int(r[1]-r[0]+1))))
			}
		}
		lines[i] = out.String()
	}
	return lines
}

// texts are 20,000 lines of the shared texts. Without the shared data the test is skipped.
func texts(t testing.TB) []string {
	t.Helper()
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("the shared data are not here: %v", err)
	}
	var all []string
	for _, part := range []struct {
		name  string
		count int
	}{{"multi30k/train.en.gz", 6000}, {"multi30k/train.de.gz", 4000}, {"multi30k/train.fr.gz", 2000}, {"tinyshakespeare/input.txt", 5000}, {"sentencepiece/botchan.txt", 3000}} {
		lines := linesOf(t, filepath.Join(shared, part.name))
		all = append(all, lines[:part.count]...)
	}
	if len(all) != 20000 {
		t.Fatalf("%d lines", len(all))
	}
	return all
}

// linesOf reads a text, compressed by gzip or not.
func linesOf(t testing.TB, path string) []string {
	t.Helper()
	return strings.Split(string(content(t, path)), "\n")
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
