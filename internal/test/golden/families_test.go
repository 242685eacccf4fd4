package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// families are small models, of text with dropout, after six steps of the data that familyData writes: the digest of the state, and of the parameters alone.
var families = []struct{ name, precision, model, data, state, parameters string }{
	{"gpt", "float32", "{kind: gpt, depth: 2, heads: 2, width: 24, bias: true, dropout: 0.1}", "{kind: text, dir: DIR/lines.txt, context: 80, documents: lines}",
		"116eb2e20d2f6d79d2cb940b27526e79ca765f8e62afd9059e40569b023a19e2", "a0725ee5180ba36e267f65b9ed90d4a4591466f4af8b334f4ba2397314b47555"},
	{"llama", "float32", "{kind: llama, depth: 2, heads: 4, kv_heads: 2, width: 24, tied: false, dropout: 0.1}", "{kind: text, dir: DIR/lines.txt, context: 80, documents: lines}",
		"43d7ccb9a781d73396bd6838422ececb081eae65b11d38049b33f50c60cf68a1", "a2285ffce4778bfeacbad1d44c66ad7a02f750337e41e16a1d26531d1e3d36a8"},
	{"bert", "float32", "{kind: bert, depth: 2, heads: 2, width: 24, dropout: 0.1}", "{kind: text, dir: DIR/lines.txt, context: 20, mask: 0.15}",
		"81eff38e3525893d91c210b0a47ae0e077865baa87b572194cb3db0d80fc00cb", "afbff5761bc4b3dd3c650ab532cd92b6585d489be2770b4477843e3552fae4c4"},
	{"bert classes", "float32", "{kind: bert, depth: 2, heads: 2, width: 24, dropout: 0.1}", "{kind: csv, train: DIR/rows.csv, texts: [text], target: kind, categories: [kind], tokenizer: DIR/vocab.txt, context: 12}",
		"e3115e8469233ee955292c195ff163318fc062812be3d56bb9d86437e931daeb", "3216f7b56c8d0fc1c1f2a51b3fc2a064650fc4f2369bac1149b7c6e643b280b4"},
	{"t5", "float32", "{kind: t5, depth: 2, heads: 2, width: 24, dropout: 0.1}", "{kind: pairs, train: DIR/pairs.csv, source: a, target: b, context: 12}",
		"6ff6da8f4118c5d05b0bf590abf238d7032db3ca569a53e21e2417203e6fa40f", "8541b052db0dc1d67413cf89541112cd4cada9d31c61608f7694dac3c9bf33bc"},
	{"gpt in bf16", "bf16", "{kind: gpt, depth: 1, heads: 2, width: 24, bias: true, dropout: 0.1}", "{kind: text, dir: DIR/lines.txt, context: 40}",
		"cc9aa0e3a1e9f467011c039e4f7b9f65a7846dce92ff16b06d62ac146cedb7bd", "adc424b9fdc2d73cc6693486b677cecc0d84c58029c21e4931a812caa39c9021"},
	{"t5 in bf16", "bf16", "{kind: t5, depth: 1, heads: 2, width: 24, dropout: 0.1}", "{kind: pairs, train: DIR/pairs.csv, source: a, target: b, context: 12}",
		"2a3ef938741098e8a555907e09199e72db636e36ba858a7b739e6b76e4d8983c", "39bc29dfaea05717a3c45bec989232ee5a95e6a3043e73f361ebd2f8108ecd0d"},
	{"pictures in bf16", "bf16", `{kind: sequential, stack: [{kind: conv, out: 8, kernel: 3, stride: 2}, {kind: batch_norm}, {kind: relu6},
		{kind: conv, out: 8, kernel: 3, groups: 8, bias: false}, {kind: batch_norm}, {kind: relu}, {kind: conv, out: 8, kernel: 1}, {kind: max_pool, kernel: 2},
		{kind: conv_transpose, out: 4, kernel: 2}, {kind: flatten}, {kind: linear, out: 16}, {kind: gelu}, {kind: linear, out: 10}]}`, "{kind: glyphs}",
		"0f3df30acea00c52ec7d0125b57d50900077ea7ed15a2b3ef9f304e8fb5b4a0e", "76e39ffa927d97c6d05dde9eb52dac13ee61b6f963b42cd8a66b72fa4fa84fc3"},
}

// familyData writes texts that are drawn from a few words.
func familyData(t *testing.T) (dir string) {
	t.Helper()
	words := []string{"sun", "moon", "star", "sea", "wind", "tree"}
	key := rng.NewKey(1)
	var lines, rows, pairs strings.Builder
	rows.WriteString("text,kind\n")
	pairs.WriteString("a,b\n")
	for i := range uint64(300) {
		block := key.Block(i)
		var line []string
		for k := range 3 + block[0]%9 {
			line = append(line, words[key.Below(1000*i+uint64(k)+1000, uint64(len(words)))])
		}
		text := strings.Join(line, " ")
		fmt.Fprintln(&lines, text)
		fmt.Fprintf(&rows, "%s,%s\n", text, line[0])
		fmt.Fprintf(&pairs, "%s,%s\n", text, strings.Join(line[len(line)/2:], " "))
	}
	dir = t.TempDir()
	for name, text := range map[string]string{"lines.txt": lines.String(), "rows.csv": rows.String(), "pairs.csv": pairs.String(),
		"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + strings.Join(words, "\n") + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGoldenFamilies trains a small model of each family of text on each tier, with one worker, and with an uneven ring of three whose workers have two threads.
func TestGoldenFamilies(t *testing.T) {
	dir := familyData(t)
	for _, f := range families {
		text := fmt.Sprintf("name: golden\nseats: 4\nmodel: %s\ndata: %s\ntrain: {precision: %s, steps: 6, batch_per_seat: 2, clip_norm: 1.0, optimizer: {kind: adamw, lr: 0.003}}\n", f.model, strings.ReplaceAll(f.data, "DIR", dir), f.precision)
		job, err := config.Parse("golden.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := trainer.Assemble(job)
		if err != nil {
			t.Fatal(err)
		}
		for _, tier := range kernel.Tiers() {
			for _, ring := range []struct{ workers, threads int }{{1, 1}, {3, 2}} {
				t.Run(fmt.Sprintf("%s/%v/%d", f.name, tier, ring.workers), func(t *testing.T) {
					if testing.Short() && ring.workers > 1 {
						t.Skip("one worker in short mode")
					}
					defer kernel.Force(tier)()
					_, ends, params := train(t, p, ring.workers, ring.threads)
					for i := range ends {
						if ends[i] != f.state || params[i] != f.parameters {
							t.Errorf("worker %d after 6 steps: state %s, parameters %s; want %s, %s", i+1, ends[i], params[i], f.state, f.parameters)
						}
					}
				})
			}
		}
	}
}
