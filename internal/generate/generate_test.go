package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/model"
	"ringmaster/internal/tensor/kernel"
)

const vocabulary, context = 29, 40

// gpt and translators are the models of testdata/transformers.json; gpt's context is the one given.
func gpt(t testing.TB, context int) *model.Model {
	return build(t, config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 3, Width: 24, Bias: true}, dataset.Schema{
		{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{context}, Classes: vocabulary},
		{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{context}, Classes: vocabulary},
	})
}

func llama(t testing.TB) *model.Model {
	return build(t, config.Model{Kind: config.ModelLLaMA, Depth: 2, Heads: 4, KVHeads: 2, Width: 24, Hidden: 40, RopeTheta: 10000, Epsilon: 1e-6}, dataset.Schema{
		{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{context}, Classes: vocabulary},
		{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{context}, Classes: vocabulary},
	})
}

func translator(t testing.TB, tied bool) *model.Model {
	return build(t, config.Model{Kind: config.ModelT5, Depth: 2, Heads: 3, Width: 24, HeadWidth: 6, Hidden: 40, Buckets: 8, Distance: 7, Tied: tied}, dataset.Schema{
		{Name: dataset.SourceTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{context}, Ragged: true, Classes: vocabulary},
		{Name: dataset.ShiftedTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{context}, Classes: vocabulary},
		{Name: dataset.TargetTokens, Type: dataset.Int32, Role: dataset.Target, Shape: []int{context}, Classes: vocabulary},
	})
}

func build(t testing.TB, cfg config.Model, schema dataset.Schema) *model.Model {
	t.Helper()
	l, err := loss.New(config.Train{Loss: config.LossCrossEntropy}, schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(cfg, schema, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// filled is the script's fill.
func filled(m *model.Model) []float32 {
	params := make([]float32, m.Len())
	for _, p := range m.Params() {
		scale, shift := 0.4, 0.0
		if len(p.Shape) == 2 {
			scale = 4 * math.Sqrt(3/float64(p.Shape[1]))
		} else if strings.HasSuffix(p.Name, "weight") {
			shift = 1
		}
		seed := crc32.ChecksumIEEE([]byte(p.Name))
		for i := range params[p.Interval.Begin:p.Interval.End] {
			x := uint32(i) + seed*0x9E3779B9
			for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
				x ^= x >> 16
				x *= multiplier
			}
			params[p.Interval.Begin+i] = float32((float64(x^x>>16)/(1<<32)-0.5)*scale + shift)
		}
	}
	return params
}

func decoder(t testing.TB, m *model.Model, team *kernel.Team, o model.DecoderOptions) *model.Decoder {
	t.Helper()
	d, err := m.NewDecoder(team, filled(m), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// recorded is testdata/transformers.json.
type recorded struct {
	Prompts [][]int32
	Models  []struct {
		Name string
		Ways []struct {
			Way struct {
				Penalty float64  `json:"repetition_penalty"`
				Beams   int      `json:"num_beams"`
				Length  *float64 `json:"length_penalty"`
				Early   any      `json:"early_stopping"`
				Return  int      `json:"num_return_sequences"`
				End     []int32  `json:"eos_token_id"`
			}
			Texts [][]struct {
				Tokens []int32
				Ended  bool
				Score  float64
			}
		}
	}
}

// TestTokensAreTransformers compares what is written with what Hugging Face's generate writes, greedily and by beam search: all prompts at once, one
// after the other, and without keeping what was computed.
func TestTokensAreTransformers(t *testing.T) {
	raw, err := os.ReadFile("testdata/transformers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file recorded
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	models := map[string]*model.Model{"gpt": gpt(t, context), "llama": llama(t), "t5": translator(t, true), "t5 untied": translator(t, false)}
	if len(file.Models) != len(models) {
		t.Fatalf("%d models were recorded", len(file.Models))
	}
	for _, r := range file.Models {
		for k, w := range r.Ways {
			t.Run(fmt.Sprint(r.Name, " ", k), func(t *testing.T) {
				o := Options{MaxTokens: 20, End: []int32{1}, RepetitionPenalty: w.Way.Penalty, Beams: w.Way.Beams, Return: w.Way.Return, LengthPenalty: 1, Batch: 12}
				if w.Way.End != nil {
					o.End = w.Way.End
				}
				if w.Way.Length != nil {
					o.LengthPenalty = *w.Way.Length
				}
				switch w.Way.Early {
				case true:
					o.Early = EarlyFull
				case "never":
					o.Early = EarlyNever
				}
				for _, way := range []model.DecoderOptions{{Slots: 12}, {Slots: 5}, {Slots: 5, Recompute: true}} {
					if o.Batch = way.Slots; o.Beams < 2 && way.Slots == 5 {
						o.Batch = 1
					}
					got, err := Write(decoder(t, models[r.Name], nil, way), file.Prompts, o, nil)
					if err != nil {
						t.Fatal(err)
					}
					for i, texts := range w.Texts {
						if len(got[i]) != len(texts) {
							t.Fatalf("%d texts for prompt %d, by transformers %d", len(got[i]), i, len(texts))
						}
						for j, want := range texts {
							g := got[i][j]
							if !slices.Equal(g.Tokens, want.Tokens) || g.Ended != want.Ended || math.Abs(float64(g.Score)-want.Score) > 1e-4*math.Abs(want.Score) {
								t.Errorf("%+v: prompt %d, text %d is %v (ended: %v, score %v), by transformers %v (%v, %v)", way, i, j, g.Tokens, g.Ended, g.Score, want.Tokens, want.Ended, want.Score)
							}
						}
					}
				}
			})
		}
	}
}

// prompts of different lengths.
var prompts = [][]int32{{3}, {5, 1, 28, 7, 7, 0, 2}, {9, 8}, {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}, {6, 3, 20}}

// TestTextsDoNotDependOnWhatIsBesideThem draws texts for a prompt alone and among others, on several threads, with and without what is kept, and
// beyond the context.
func TestTextsDoNotDependOnWhatIsBesideThem(t *testing.T) {
	team := kernel.NewTeam(3)
	defer team.Close()
	for _, m := range []*model.Model{gpt(t, 16), translator(t, true)} {
		o := Options{MaxTokens: 38, End: []int32{1}, Temperature: 1.5, TopK: 20, TopP: 0.95, RepetitionPenalty: 1.1, Seed: 5, Return: 2}
		o.Batch = 7
		together, err := Write(decoder(t, m, team, model.DecoderOptions{Slots: 7}), prompts, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		longest := 0
		for i, prompt := range prompts {
			for _, recompute := range []bool{false, true} {
				o.Batch = 1
				alone, err := Write(decoder(t, m, nil, model.DecoderOptions{Slots: 1, Recompute: recompute}), [][]int32{prompt}, o, nil)
				if err != nil {
					t.Fatal(err)
				}
				for k := range alone[0] {
					if !slices.Equal(alone[0][k].Tokens, together[i][k].Tokens) {
						t.Errorf("prompt %d: text %d alone is %v, beside others %v", i, k, alone[0][k].Tokens, together[i][k].Tokens)
					}
					longest = max(longest, len(prompt)+len(alone[0][k].Tokens))
				}
				if slices.Equal(alone[0][0].Tokens, alone[0][1].Tokens) {
					t.Errorf("prompt %d: both texts are %v", i, alone[0][0].Tokens)
				}
			}
		}
		if longest < 38 {
			t.Errorf("no text went beyond the context: the longest has %d tokens", longest)
		}
	}
}

// TestTextsEnd checks what ends a text: its length, a token, what Stop says, and who is told.
func TestTextsEnd(t *testing.T) {
	d := decoder(t, gpt(t, context), nil, model.DecoderOptions{Slots: 4})
	write := func(o Options, emit func(int, int, int32) bool) Text {
		t.Helper()
		got, err := Write(d, [][]int32{{3, 4}}, o, emit)
		if err != nil {
			t.Fatal(err)
		}
		return got[0][0]
	}
	all := write(Options{MaxTokens: 12}, nil)
	if len(all.Tokens) != 12 || all.Ended {
		t.Fatalf("%+v", all)
	}
	var told []int32
	three := write(Options{MaxTokens: 12}, func(prompt, text int, token int32) bool {
		told = append(told, token)
		return len(told) < 3
	})
	if !slices.Equal(three.Tokens, all.Tokens[:3]) || !slices.Equal(told, three.Tokens) {
		t.Errorf("%v were told of %v", told, three.Tokens)
	}
	stop := func(tokens []int32) bool { return len(tokens) == 5 }
	if got := write(Options{MaxTokens: 12, Stop: stop}, nil); !slices.Equal(got.Tokens, all.Tokens[:5]) || !got.Ended {
		t.Errorf("stopped: %+v of %v", got, all.Tokens)
	}
	if got := write(Options{MaxTokens: 12, Stop: stop, Beams: 3, LengthPenalty: 1, Early: EarlyFull}, nil); len(got.Tokens) != 5 || !got.Ended {
		t.Errorf("beams: %+v", got)
	}
	at := slices.Index(all.Tokens, all.Tokens[7])
	if got := write(Options{MaxTokens: 12, End: []int32{all.Tokens[7]}}, nil); !slices.Equal(got.Tokens, all.Tokens[:at]) || !got.Ended {
		t.Errorf("ended: %+v of %v", got, all.Tokens)
	}
}

// TestWhatCannotBeWritten wants an error before anything is written.
func TestWhatCannotBeWritten(t *testing.T) {
	d := decoder(t, gpt(t, 8), nil, model.DecoderOptions{Slots: 4})
	one := [][]int32{{1}}
	for _, c := range []struct {
		prompts [][]int32
		o       Options
		want    string
	}{
		{one, Options{}, "at least 1 token"},
		{one, Options{MaxTokens: 1, Temperature: -1}, "must not be negative"},
		{one, Options{MaxTokens: 1, TopP: 1.5}, "at most 1"},
		{one, Options{MaxTokens: 1, Temperature: 1, Beams: 2}, "takes the likeliest"},
		{one, Options{MaxTokens: 1, Return: 3, Beams: 2}, "2 beams do not give 3 texts"},
		{one, Options{MaxTokens: 1, Return: 3}, "would be equal"},
		{[][]int32{{1}, {}}, Options{MaxTokens: 1}, "0 tokens, where the model reads 1 to 8"},
		{[][]int32{{1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}}, Options{MaxTokens: 1}, "9 tokens, where the model reads 1 to 8"},
		{[][]int32{{1}, {29}}, Options{MaxTokens: 1}, "token 0 of the prompt is 29, outside the vocabulary of 29"},
	} {
		_, err := Write(d, c.prompts, c.o, func(int, int, int32) bool { t.Error("something was written"); return false })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.o, err, c.want)
		}
		var at *PromptError
		if errors.As(err, &at) != (len(c.prompts) == 2) || at != nil && at.Prompt != 1 {
			t.Errorf("%v is not of prompt 1", err)
		}
	}
	params := filled(gpt(t, 8))
	params[0] = float32(math.NaN())
	broken, err := gpt(t, 8).NewDecoder(nil, params, nil, model.DecoderOptions{Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{MaxTokens: 3}, {MaxTokens: 3, Temperature: 1}, {MaxTokens: 3, Beams: 2}} {
		if _, err := Write(broken, [][]int32{{0, 1}}, o, nil); !errors.Is(err, model.ErrNotFinite) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
