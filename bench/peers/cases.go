package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// comparison is one piece of work that we and our peers do. The commands of each run one after another in a round.
type comparison struct {
	name    string
	ours    [][]string
	theirs  []peer
	figures []figure
	prepare func() error // makes the data that both sides read, before the first round; nil: nothing is to be made
}

// figure is a number to compare. ours and theirs are patterns whose only group is the number in what the commands print; the
// median counts where there are several.
type figure struct {
	name, unit   string
	ours, theirs string
	smaller      bool    // is better
	scale        float64 // our number in the unit of theirs; 0 is 1
	work         string  // pattern of the GFLOP/s of our products in it; "" where those do not matter
}

// product is a matrix product that stays in the caches: what our products could reach at most.
const product = "256x256x256"

// bestProduct is the command that measures it.
func bestProduct(o options) []string {
	return []string{o.ringmaster, "bench", "gemm", "--json", "--threads", "1", "--sizes", product}
}

func comparisons(o options) []comparison {
	launch := filepath.Join(o.peers, "launch.sh")
	all := []comparison{
		{name: "training on 2 workers",
			ours: [][]string{
				train(o, "classifier", 2, 32, 3000),
				train(o, "wide", 2, 128, 25, "--set", "model.layers=[784, 2048, 2048, 10]"),
			},
			theirs: alone("PyTorch DDP", []string{launch, "2", "ddp.py"}),
			figures: []figure{
				{name: ", classifier, batch 32 a worker", unit: "steps/s", ours: result("classifier", "steps_per_s"), theirs: `mlp DistributedDataParallel n=2 steps/s ([0-9.]+)`},
				{name: ", 2048 wide, batch 128 a worker", unit: "steps/s", ours: result("wide", "steps_per_s"), theirs: `wide DistributedDataParallel n=2 steps/s ([0-9.]+)`},
			}},
	}
	all = append(all, classifier(o, 32), classifier(o, 256), gpt(o), mobileNet(o))
	all = append(all, transformers(o)...)
	return append(all, allreduce(o, launch), gemm(o), tokenizers(o), texts(o))
}

// classifier is the small classifier on the embedded digits, few of whose pixels are zero, and on MNIST, most of whose are. To
// the others all numbers are alike.
func classifier(o options, batch int) comparison {
	theirs := fmt.Sprintf(`B=%d (?:steps/s [0-9.]+ )?samples/s ([0-9.]+)`, batch)
	steps := 384000 / batch // the peers leave out their first steps; ours are in it
	mnist := bench(o, filepath.Join("configs", "mnist-mlp.yaml"), "mnist", 1, batch, steps, "--set", "data.dir="+filepath.Join(o.data, "mnist"))
	return comparison{name: fmt.Sprintf("training on 1 worker, classifier, batch %d", batch),
		ours:   [][]string{train(o, "classifier", 1, batch, steps), mnist, bestProduct(o)},
		theirs: append(modes(o.python, filepath.Join(o.peers, "mlp.py"), strconv.Itoa(batch)), jaxOf(o, "mlp_jax.py", strconv.Itoa(batch))),
		figures: []figure{
			{unit: "samples/s", ours: result("classifier", "samples_per_s"), theirs: theirs, work: result("classifier", "gflops")},
			{name: ", MNIST", unit: "samples/s", ours: result("mnist", "samples_per_s"), theirs: theirs},
		}}
}

// gpt is nanoGPT's configuration for CPUs: windows of 64 characters, 12 a step.
func gpt(o options) comparison {
	const window = 64
	ours := bench(o, filepath.Join("configs", "gpt-shakespeare.yaml"), "gpt", 1, 12, 180, "--set", "data.dir="+filepath.Join(o.data, "tinyshakespeare"))
	return comparison{name: "training on 1 worker, GPT, 0.8 M parameters",
		ours:   [][]string{ours, bestProduct(o)},
		theirs: append(modes(o.python, filepath.Join(o.peers, "gpt.py")), jaxOf(o, "gpt_jax.py")),
		figures: []figure{
			{unit: "tokens/s", ours: result("gpt", "samples_per_s"), theirs: `gpt steps/s [0-9.]+ tok/s ([0-9.]+)`, scale: window, work: result("gpt", "gflops")},
			memory("gpt"),
		}}
}

// mobileNet is MobileNetV2 on small and on large images. Theirs does both in one process, whose memory is compared with the
// larger of our two.
func mobileNet(o options) comparison {
	job := filepath.Join("configs", "mobilenetv2-cifar10.yaml")
	return comparison{name: "training on 1 worker, MobileNetV2",
		ours: [][]string{
			bench(o, job, "small", 1, 32, 16, "--set", "data.dir="+filepath.Join(o.data, "cifar10"), "--set", "data.eval_per_class=10"),
			bench(o, job, "large", 1, 4, 24, "--set", "data.dir="+o.made, "--set", "model.variant=imagenet", "--set", "data.train_per_class=0",
				"--set", "data.eval_per_class=0", "--set", "data.crop=0"),
			bestProduct(o),
		},
		theirs: modes(o.python, filepath.Join(o.peers, "mbv2.py")),
		figures: []figure{
			{name: ", 32x32, batch 32", unit: "images/s", ours: result("small", "samples_per_s"), theirs: `mbv2 32 B=32 train img/s ([0-9.]+)`, work: result("small", "gflops")},
			{name: ", 224x224, batch 4", unit: "images/s", ours: result("large", "samples_per_s"), theirs: `mbv2 224 B=4 train img/s ([0-9.]+)`, work: result("large", "gflops")},
			memory("small"),
		},
		prepare: func() error { return drawPhotos(o.made) }}
}

// transformers are shapes of well-known models, without dropout.
func transformers(o options) []comparison {
	tokens := filepath.Join(o.data, "tokenizers")
	text, short := "data.dir="+filepath.Join(o.data, "tinyshakespeare"), "data.dir="+filepath.Join(o.made, "text")
	shape := func(title, name, job string, batch, steps int, sets ...string) comparison {
		var flags []string
		for _, set := range append(sets, "model.dropout=0") {
			flags = append(flags, "--set", set)
		}
		return comparison{name: "training on 1 worker, " + title,
			ours:   [][]string{bench(o, filepath.Join("configs", job), name, 1, batch, steps, flags...), bestProduct(o)},
			theirs: modes(o.python, filepath.Join("bench", "peers", "transformers.py"), name, strconv.Itoa(steps)),
			figures: []figure{
				{unit: "steps/s", ours: result(name, "steps_per_s"), theirs: name + ` \w+: ([0-9.]+) steps/s`, work: result(name, "gflops")},
				{name: ", memory of the steps", unit: "MiB", smaller: true, ours: result(name, "steps_rss_mib"), theirs: name + ` \w+: .* ([0-9.]+) MiB`},
				{name: ", with evaluation and checkpoint", unit: "MiB", smaller: true, ours: result(name, "peak_rss_mib"), theirs: name + ` \w+: .* ([0-9.]+) MiB`},
			},
			prepare: func() error { return excerpts(o.data, o.made) }}
	}
	pairs := filepath.Join(o.data, "multi30k")
	return []comparison{
		shape("T5-small's shape, 4 pairs of 64 and 64 tokens", "t5", "t5-multi30k.yaml", 4, 8, "model.depth=6", "model.heads=8", "model.width=512", "model.hidden=2048",
			"model.vocabulary=32128", "train.label_smoothing=0", "data.tokenizer=", "data.tokens=characters", "data.by_length=false", "data.context=64", "data.target_context=64",
			"data.train="+filepath.Join(pairs, "train"), "data.eval="+filepath.Join(o.made, "val")),
		shape("BERT, the job file's shape", "bert-small", "bert-shakespeare.yaml", 32, 100, text),
		shape("BERT, 4 layers 512 wide, 4 x 128 tokens", "bert", "bert-shakespeare.yaml", 4, 16, short, "model.heads=8", "model.width=512", "data.context=128",
			"data.tokenizer="+filepath.Join(tokens, "bert-base-uncased-vocab.txt")),
		shape("GPT-2 small's shape, 1 x 256 tokens", "gpt2", "gpt-shakespeare.yaml", 1, 6, short, "model.depth=12", "model.heads=12", "model.width=768", "model.bias=true",
			"model.activation=gelu_new", "model.vocabulary=50257", "data.context=256", "data.tokenizer="+filepath.Join(tokens, "gpt2_encoder.json")),
	}
}

// memory compares the most memory that our worker and their process had.
func memory(name string) figure {
	return figure{name: ", peak memory", unit: "MiB", smaller: true, ours: result(name, "peak_rss_mib"), theirs: peakLine + ` ([0-9.]+) MiB`}
}

// train is our command for the classifier.
func train(o options, name string, workers, batch, steps int, more ...string) []string {
	return bench(o, o.job, name, workers, batch, steps, more...)
}

// bench is our command for that number of workers with one thread and one seat each. The job's name marks the result.
func bench(o options, job, name string, workers, batch, steps int, more ...string) []string {
	n := strconv.Itoa(workers)
	return append([]string{o.ringmaster, "bench", "train", job, "--json", "--workers", n, "--threads", "1", "--steps", strconv.Itoa(steps),
		"--set", "name=" + name, "--set", "seats=" + n, "--set", "train.batch_per_seat=" + strconv.Itoa(batch)}, more...)
}

// result is the pattern of one key of one case in the JSON of our benchmarks.
func result(name, key string) string {
	return `"case":\s*"` + regexp.QuoteMeta(name) + `"[^}]*"` + key + `":\s*([0-9.e+-]+)`
}

func allreduce(o options, launch string) comparison {
	c := comparison{name: "all-reduce of 2 workers",
		ours:   [][]string{{o.ringmaster, "bench", "allreduce", "--json", "--workers", "2", "--bytes", "64,1MiB,16MiB,100MiB"}},
		theirs: alone("gloo", []string{launch, "2", "allreduce.py"})}
	for _, size := range []string{"1MiB", "16MiB", "100MiB"} {
		c.figures = append(c.figures, figure{name: ", " + size, unit: "GiB/s", ours: result(size, "gib_per_s"), theirs: `n=2 ` + size + ` algbw [0-9.]+ GiB/s busbw ([0-9.]+)`})
	}
	c.figures = append(c.figures, figure{name: ", 64 bytes", unit: "us", smaller: true, ours: result("64", "us"), theirs: `n=2 latency ([0-9.]+) us`})
	return c
}

func gemm(o options) comparison {
	sizes := []string{"64x64x64", "32x784x128", "256x256x256", "1024x1024x1024"}
	c := comparison{name: "matrix product"}
	ours, theirs := []string{o.ringmaster, "bench", "gemm", "--json", "--threads", "1", "--sizes", ""}, []string{o.python, filepath.Join("bench", "peers", "gemm.py")}
	for i, size := range sizes {
		if i > 0 {
			ours[len(ours)-1] += ","
		}
		ours[len(ours)-1] += size
		theirs = append(theirs, size)
		c.figures = append(c.figures, figure{name: " " + size, unit: "GFLOP/s", ours: result(size, "gflops"), theirs: `gemm ` + size + ` ([0-9.]+) GFLOP/s`})
	}
	c.ours, c.theirs = [][]string{ours}, alone("PyTorch", theirs)
	return c
}

// tokenizers encode a text on one thread: GPT-2's beside the tokenizers library, SentencePiece's beside sentencepiece. The interpreter
// needs both libraries.
func tokenizers(o options) comparison {
	text := filepath.Join(o.data, "tinyshakespeare", "input.txt")
	gpt2, bpe := filepath.Join(o.data, "tokenizers", "gpt2_encoder.json"), filepath.Join(o.data, "tokenizers", "gpt2_vocab.bpe")
	piece := filepath.Join(o.data, "sentencepiece", "test_model.model")
	script := filepath.Join("bench", "peers", "tokenizers.py")
	return comparison{name: "tokenizers",
		ours: [][]string{
			{o.ringmaster, "bench", "tokenizer", gpt2, "--input", text, "--json"},
			{o.ringmaster, "bench", "tokenizer", piece, "--input", text, "--json"},
		},
		theirs: alone("its library", []string{o.python, script, "gpt2", gpt2, bpe, text}, []string{o.python, script, "sentencepiece", piece, text}),
		figures: []figure{
			{name: ", GPT-2, ids", unit: "MB/s", ours: result("gpt2_encoder.json/ids", "mb_per_s"), theirs: `gpt2 ids ([0-9.]+) MB/s`},
			{name: ", GPT-2, tokens and offsets", unit: "MB/s", ours: result("gpt2_encoder.json/offsets", "mb_per_s"), theirs: `gpt2 offsets ([0-9.]+) MB/s`},
			{name: ", SentencePiece, ids", unit: "MB/s", ours: result("test_model.model/ids", "mb_per_s"), theirs: `sentencepiece ids ([0-9.]+) MB/s`},
		}}
}

// texts are written by models of GPT-2's and T5's small sizes with random weights, a token at a time and, since such texts soon repeat themselves, with drafts.
func texts(o options) comparison {
	ours := func(model string) string { return `BenchmarkWriting/` + model + `\S*\s.*?([0-9.]+) tokens/cpu-s` }
	return comparison{name: "texts, one at a time",
		ours:   [][]string{{"go", "test", "./internal/generate", "-run", "^$", "-bench", "Writing", "-benchtime", "2x"}},
		theirs: alone("transformers", []string{o.python, filepath.Join("bench", "peers", "generation.py")}),
		figures: []figure{
			{name: ", 124 M parameters", unit: "tokens/s", ours: ours("gpt2"), theirs: `gpt2 ([0-9.]+) tokens/cpu-s`},
			{name: ", 61 M parameters", unit: "tokens/s", ours: ours("t5-small"), theirs: `t5-small ([0-9.]+) tokens/cpu-s`},
			{name: ", 124 M parameters, drafts", unit: "tokens/s", ours: ours("drafts-gpt2"), theirs: `gpt2 by prompt lookup ([0-9.]+) tokens/cpu-s`},
			{name: ", 61 M parameters, drafts", unit: "tokens/s", ours: ours("drafts-t5-small"), theirs: `t5-small by prompt lookup ([0-9.]+) tokens/cpu-s`},
		}}
}
