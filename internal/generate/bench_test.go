package generate

import (
	"syscall"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/model"
)

type shape struct {
	name   string
	cfg    config.Model
	schema dataset.Schema
	prompt int
}

// shapes are models of real sizes, with weights as training begins with them.
var shapes = []shape{
	{"gpt2", config.Model{Kind: config.ModelGPT, Depth: 12, Heads: 12, Width: 768, Bias: true}, dataset.Schema{
		{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{1024}, Classes: 50257},
		{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{1024}, Classes: 50257},
	}, 16},
	{"t5-small", config.Model{Kind: config.ModelT5, Depth: 6, Heads: 8, Width: 512, HeadWidth: 64, Hidden: 2048, Buckets: 32, Distance: 128, Tied: true}, dataset.Schema{
		{Name: dataset.SourceTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{512}, Ragged: true, Classes: 32128},
		{Name: dataset.ShiftedTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{512}, Classes: 32128},
		{Name: dataset.TargetTokens, Type: dataset.Int32, Role: dataset.Target, Shape: []int{512}, Classes: 32128},
	}, 32},
}

// BenchmarkWriting writes 64 tokens on one thread: one by one, with drafts, and with drafts of which nearly none is right. tokens/cpu-s is by the
// process's time on CPUs, which other processes change little; beside transformers: make bench-peers ONLY=texts.
func BenchmarkWriting(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) { writes(b, s, Options{}) })
		b.Run("drafts-"+s.name, func(b *testing.B) { writes(b, s, Options{Draft: 15}) })
		b.Run("futile-"+s.name, func(b *testing.B) { writes(b, s, Options{Draft: 15, RepetitionPenalty: 1.5}) })
	}
}

func writes(b *testing.B, s shape, o Options) {
	m := build(b, s.cfg, s.schema)
	params := make([]float32, m.Len())
	if err := m.Init(b.Context(), params, nil, 1); err != nil {
		b.Fatal(err)
	}
	d, err := m.NewDecoder(nil, params, nil, model.DecoderOptions{Slots: 1, Length: 128})
	if err != nil {
		b.Fatal(err)
	}
	prompt := make([]int32, s.prompt)
	for i := range prompt {
		prompt[i] = int32(1 + i*997%30000)
	}
	const written, warm = 64, 4
	o.MaxTokens = written
	spent := 0.0
	b.ResetTimer()
	for range b.N {
		begin, n := 0.0, 0
		_, err := Write(d, [][]int32{prompt}, o, func(int, int, int32) bool {
			if n++; n == warm {
				begin = processTime()
			}
			return true
		})
		if err != nil {
			b.Fatal(err)
		}
		spent += processTime() - begin
	}
	b.ReportMetric(float64(b.N*(written-warm))/spent, "tokens/cpu-s")
}

// processTime is how long the process has been on CPUs, in seconds.
func processTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
