package main

import (
	"strings"
	"testing"
)

// What both sides print, as it was seen.
const theirsPrinted = `mlp Sequential n=2 steps/s 992.1 samples/s(all) 63494
mlp DistributedDataParallel n=2 steps/s 272.0 samples/s(all) 17408
wide Sequential n=2 steps/s 13.2 samples/s(all) 3379
wide DistributedDataParallel n=2 steps/s 7.6 samples/s(all) 1945
B=32 steps/s 640 samples/s 20480
B=32 steps/s 890 samples/s 28480
B=32 steps/s 700 samples/s 22400
B=256 steps/s 190 samples/s 48640
gpt steps/s 11.4 tok/s 8755
mbv2 32 B=32 train img/s 26.5
mbv2 224 B=4 train img/s 10.2
peak memory of the process 1462.7 MiB
n=2 1MiB algbw 0.52 GiB/s busbw 0.53 GiB/s t=1.88ms
n=2 16MiB algbw 0.61 GiB/s busbw 0.62 GiB/s t=25.61ms
n=2 100MiB algbw 0.52 GiB/s busbw 0.51 GiB/s t=187.80ms
n=2 latency 644 us
gemm 64x64x64 85.0 GFLOP/s
gemm 32x784x128 86.5 GFLOP/s
gemm 256x256x256 96.0 GFLOP/s
gemm 1024x1024x1024 98.3 GFLOP/s
t5 fused: 0.9200 steps/s, 1080.0 cpu-ms/step, 1921 MiB, 60506624 parameters
bert-small compile: 9.5000 steps/s, 100.0 cpu-ms/step, 512 MiB, 827074 parameters
bert fused: 1.2500 steps/s, 801.0 cpu-ms/step, 1362 MiB, 28911546 parameters
gpt2 eager: 0.5000 steps/s, 2000.1 cpu-ms/step, 3021 MiB, 124439808 parameters
gpt2 ids 1.72 MB/s
gpt2 offsets 1.56 MB/s
sentencepiece ids 14.77 MB/s
gpt2 17.25 tokens/cpu-s
t5-small 30.50 tokens/cpu-s
gpt2 by prompt lookup 37.83 tokens/cpu-s
t5-small by prompt lookup 135.08 tokens/cpu-s
`

const oursPrinted = `{
  "results": [
    {"case": "classifier", "steps_per_s": 2512.5, "samples_per_s": 80400.25, "peak_rss_mib": 101.5, "gflops": 81.5, "workers": 2},
    {"case": "wide", "steps_per_s": 14.1, "samples_per_s": 3609, "peak_rss_mib": 301.5, "workers": 2},
    {"case": "mnist", "steps_per_s": 450.5, "samples_per_s": 115328, "peak_rss_mib": 201.5, "steps_rss_mib": 101.5, "gflops": 99.5, "workers": 1},
    {"case": "gpt", "steps_per_s": 14.5, "samples_per_s": 200, "peak_rss_mib": 171.7, "steps_rss_mib": 71.7, "gflops": 66.9, "workers": 1},
    {"case": "t5", "steps_per_s": 1.1, "samples_per_s": 4.4, "peak_rss_mib": 1501.5, "steps_rss_mib": 1401.5, "gflops": 88.5, "workers": 1},
    {"case": "bert-small", "steps_per_s": 14.5, "samples_per_s": 464, "peak_rss_mib": 121.5, "steps_rss_mib": 21.5, "gflops": 71.5, "workers": 1},
    {"case": "bert", "steps_per_s": 1.5, "samples_per_s": 6, "peak_rss_mib": 801.5, "steps_rss_mib": 701.5, "gflops": 90.5, "workers": 1},
    {"case": "gpt2", "steps_per_s": 0.6, "samples_per_s": 0.6, "peak_rss_mib": 2801.5, "steps_rss_mib": 2701.5, "gflops": 92.5, "workers": 1},
    {"case": "small", "steps_per_s": 1.25, "samples_per_s": 40, "peak_rss_mib": 557.4, "steps_rss_mib": 457.4, "gflops": 21.2, "workers": 1},
    {"case": "large", "steps_per_s": 3.25, "samples_per_s": 13, "peak_rss_mib": 480.4, "steps_rss_mib": 380.4, "gflops": 23.5, "workers": 1},
    {"case": "64", "gib_per_s": 0.001, "us": 91.5, "bytes": 64},
    {"case": "1MiB", "gib_per_s": 1.25, "us": 800.1},
    {"case": "16MiB", "gib_per_s": 1.5, "us": 10400},
    {"case": "100MiB", "gib_per_s": 1e+00, "us": 98000},
    {"case": "64x64x64", "gflops": 104.2, "us": 5, "kernel": "avx512"},
    {"case": "32x784x128", "gflops": 112, "us": 57},
    {"case": "256x256x256", "gflops": 110.5, "us": 303},
    {"case": "1024x1024x1024", "gflops": 108.25, "us": 19840},
    {"case": "gpt2_encoder.json/ids", "mb_per_s": 29.5, "tokens": 301829},
    {"case": "gpt2_encoder.json/offsets", "mb_per_s": 8.25, "tokens": 301829},
    {"case": "test_model.model/ids", "mb_per_s": 12.5, "tokens": 480000}
  ]
}
BenchmarkWriting/gpt2-2         	       2	5122036124 ns/op	        31.40 tokens/cpu-s
BenchmarkWriting/drafts-gpt2-2  	       2	 632786337 ns/op	       124.4 tokens/cpu-s
BenchmarkWriting/t5-small-2     	       2	1122036124 ns/op	        80.02 tokens/cpu-s
BenchmarkWriting/drafts-t5-small-2         	       2	 179659129 ns/op	       538.0 tokens/cpu-s
`

// figuresPrinted are ours and theirs.
var figuresPrinted = map[string][2]float64{
	"training on 2 workers, classifier, batch 32 a worker":                                                {2512.5, 272},
	"training on 2 workers, 2048 wide, batch 128 a worker":                                                {14.1, 7.6},
	"training on 1 worker, classifier, batch 32":                                                          {80400.25, 22400},
	"training on 1 worker, classifier, batch 256":                                                         {80400.25, 48640},
	"training on 1 worker, classifier, batch 32, MNIST":                                                   {115328, 22400},
	"training on 1 worker, classifier, batch 256, MNIST":                                                  {115328, 48640},
	"training on 1 worker, GPT, 0.8 M parameters":                                                         {200, 8755},
	"training on 1 worker, GPT, 0.8 M parameters, peak memory":                                            {171.7, 1462.7},
	"training on 1 worker, T5-small's shape, 4 pairs of 64 and 64 tokens":                                 {1.1, 0.92},
	"training on 1 worker, T5-small's shape, 4 pairs of 64 and 64 tokens, memory of the steps":            {1401.5, 1921},
	"training on 1 worker, T5-small's shape, 4 pairs of 64 and 64 tokens, with evaluation and checkpoint": {1501.5, 1921},
	"training on 1 worker, BERT, the job file's shape":                                                    {14.5, 9.5},
	"training on 1 worker, BERT, the job file's shape, memory of the steps":                               {21.5, 512},
	"training on 1 worker, BERT, the job file's shape, with evaluation and checkpoint":                    {121.5, 512},
	"training on 1 worker, BERT, 4 layers 512 wide, 4 x 128 tokens":                                       {1.5, 1.25},
	"training on 1 worker, BERT, 4 layers 512 wide, 4 x 128 tokens, memory of the steps":                  {701.5, 1362},
	"training on 1 worker, BERT, 4 layers 512 wide, 4 x 128 tokens, with evaluation and checkpoint":       {801.5, 1362},
	"training on 1 worker, GPT-2 small's shape, 1 x 256 tokens":                                           {0.6, 0.5},
	"training on 1 worker, GPT-2 small's shape, 1 x 256 tokens, memory of the steps":                      {2701.5, 3021},
	"training on 1 worker, GPT-2 small's shape, 1 x 256 tokens, with evaluation and checkpoint":           {2801.5, 3021},
	"training on 1 worker, MobileNetV2, 32x32, batch 32":                                                  {40, 26.5},
	"training on 1 worker, MobileNetV2, 224x224, batch 4":                                                 {13, 10.2},
	"training on 1 worker, MobileNetV2, peak memory":                                                      {557.4, 1462.7},
	"all-reduce of 2 workers, 1MiB":                                                                       {1.25, 0.53},
	"all-reduce of 2 workers, 16MiB":                                                                      {1.5, 0.62},
	"all-reduce of 2 workers, 100MiB":                                                                     {1, 0.51},
	"all-reduce of 2 workers, 64 bytes":                                                                   {91.5, 644},
	"matrix product 64x64x64":                                                                             {104.2, 85},
	"matrix product 32x784x128":                                                                           {112, 86.5},
	"matrix product 256x256x256":                                                                          {110.5, 96},
	"matrix product 1024x1024x1024":                                                                       {108.25, 98.3},
	"tokenizers, GPT-2, ids":                                                                              {29.5, 1.72},
	"tokenizers, GPT-2, tokens and offsets":                                                               {8.25, 1.56},
	"tokenizers, SentencePiece, ids":                                                                      {12.5, 14.77},
	"texts, one at a time, 124 M parameters":                                                              {31.4, 17.25},
	"texts, one at a time, 61 M parameters":                                                               {80.02, 30.5},
	"texts, one at a time, 124 M parameters, drafts":                                                      {124.4, 37.83},
	"texts, one at a time, 61 M parameters, drafts":                                                       {538, 135.08},
}

// productsPrinted are the speeds of the matrix products alone, in GFLOP/s.
var productsPrinted = map[string]float64{
	"training on 1 worker, classifier, batch 32":                          81.5,
	"training on 1 worker, classifier, batch 256":                         81.5,
	"training on 1 worker, GPT, 0.8 M parameters":                         66.9,
	"training on 1 worker, T5-small's shape, 4 pairs of 64 and 64 tokens": 88.5,
	"training on 1 worker, BERT, the job file's shape":                    71.5,
	"training on 1 worker, BERT, 4 layers 512 wide, 4 x 128 tokens":       90.5,
	"training on 1 worker, GPT-2 small's shape, 1 x 256 tokens":           92.5,
	"training on 1 worker, MobileNetV2, 32x32, batch 32":                  21.2,
	"training on 1 worker, MobileNetV2, 224x224, batch 4":                 23.5,
}

func TestFiguresAreFound(t *testing.T) {
	seen := 0
	for _, c := range comparisons(options{python: "python3", peers: "peers", ringmaster: "ringmaster", job: "job.yaml"}) {
		for _, f := range c.figures {
			ours, err := number(oursPrinted, f.ours)
			if err != nil {
				t.Errorf("%s%s: ours: %v", c.name, f.name, err)
			}
			theirs, err := number(theirsPrinted, f.theirs)
			if err != nil {
				t.Errorf("%s%s: theirs: %v", c.name, f.name, err)
			}
			if got := [2]float64{ours, theirs}; got != figuresPrinted[c.name+f.name] {
				t.Errorf("%s%s: %v, want %v", c.name, f.name, got, figuresPrinted[c.name+f.name])
			}
			if want := productsPrinted[c.name+f.name]; want > 0 || f.work != "" {
				if got, err := number(oursPrinted, f.work); err != nil || got != want {
					t.Errorf("%s%s: products at %v GFLOP/s, %v, want %v", c.name, f.name, got, err, want)
				}
			}
			seen++
		}
	}
	if best, err := number(oursPrinted, result(product, "gflops")); err != nil || best != 110.5 {
		t.Errorf("the best product runs at %v, %v", best, err)
	}
	if seen != len(figuresPrinted) {
		t.Errorf("%d figures, want %d", seen, len(figuresPrinted))
	}
}

// TestJAXPrintsTheSameFigures: its programs write them a little differently.
func TestJAXPrintsTheSameFigures(t *testing.T) {
	const printed = "jax B=32 samples/s 80123 cpu-samples/s 81000\njax B=256 samples/s 124000 cpu-samples/s 125000\njax gpt steps/s 7.82 tok/s 6006\n"
	o := options{}
	for want, c := range map[float64]comparison{80123: classifier(o, 32), 124000: classifier(o, 256), 6006: gpt(o)} {
		if got, err := number(printed, c.figures[0].theirs); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, want)
		}
	}
}

func TestNumberRefuses(t *testing.T) {
	for _, text := range []string{"", "steps 0", "steps -"} {
		if v, err := number(text, `steps (.+)`); err == nil {
			t.Errorf("%q came out as %v", text, v)
		}
	}
}

// TestChooseByName: a part of a name chooses, the empty one everything, and what is in none says which names there are.
func TestChooseByName(t *testing.T) {
	all := comparisons(options{})
	for only, want := range map[string]int{"": len(all), "classifier": 2, "GPT": 2, "shape": 3} {
		if chosen, err := choose(all, only); err != nil || len(chosen) != want {
			t.Errorf("%q chooses %d, %v, want %d", only, len(chosen), err, want)
		}
	}
	if _, err := choose(all, "gtp"); err == nil || !strings.Contains(err.Error(), `"gtp"`) || !strings.Contains(err.Error(), "matrix product") {
		t.Errorf("a name that is none: %v", err)
	}
}
