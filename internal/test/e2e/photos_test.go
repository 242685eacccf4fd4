package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	configs "ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// seenPhotos is what testdata/photos.py recorded of MobileNetV2 in torchvision and in Keras.
type seenPhotos struct {
	Tensors map[string][]int             // Keras'
	Norms   map[string]map[string][]byte // little-endian float16
	Heads   map[string]struct {
		Scale float64
		Bias  []float32
	}
	Photos map[string]map[string]struct {
		Best            []int
		Chances, Others []float64
	}
}

// foreign is a tensor as another library wrote it.
type foreign struct {
	name   string
	shape  []int
	values []float32
}

// drawn is the script's draw.
func drawn(shape []int, seed uint32, scale, shift float64) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	out := make([]float32, n)
	for i := range out {
		x := uint32(i) + seed
		for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
			x ^= x >> 16
			x *= multiplier
		}
		x ^= x >> 16
		out[i] = float32((float64(x)/(1<<32)-0.5)*scale + shift)
	}
	return out
}

// valued is the script's values, with the last layer's as recorded.
func (s *seenPhotos) valued(form, name string, shape []int) foreign {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '/' })
	seed, last := crc32.ChecksumIEEE([]byte(name)), parts[len(parts)-1]
	head := strings.HasPrefix(name, "classifier.") || strings.HasPrefix(name, "predictions/")
	scale, shift := 0.0, 0.0
	if raw := s.Norms[form][name]; raw != nil {
		halves, values := make([]uint16, len(raw)/2), make([]float32, len(raw)/2)
		for i := range halves {
			halves[i] = binary.LittleEndian.Uint16(raw[2*i:])
		}
		kernel.DecodeFloat16(values, halves)
		return foreign{name, shape, values}
	}
	switch {
	case head && last == "bias":
		return foreign{name, shape, s.Heads[form].Bias}
	case head:
		scale = s.Heads[form].Scale
	case last == "bias" || last == "beta":
		scale, shift = 0.4, 0.2
	case len(shape) == 1:
		scale, shift = 1, 1
	default:
		inputs := 1
		for i, d := range shape {
			if form == "torchvision" && i > 0 || form == "keras" && i < len(shape)-1 {
				inputs *= d
			}
		}
		if strings.HasSuffix(name, "depthwise/kernel") {
			inputs = 9
		}
		scale = 2 * math.Sqrt(6/float64(inputs))
	}
	return foreign{name, shape, drawn(shape, seed, scale, shift)}
}

// writeForeign writes tensors as a safetensors file without metadata.
func writeForeign(t *testing.T, path string, tensors []foreign) {
	t.Helper()
	header, at := map[string]any{}, 0
	var data []byte
	for _, f := range tensors {
		header[f.name] = map[string]any{"dtype": "F32", "shape": f.shape, "data_offsets": []int{at, at + 4*len(f.values)}}
		at += 4 * len(f.values)
		for _, v := range f.values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.WriteFile(path, append(file, data...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commandsOf are the lines of a file's leading comment that begin with ringmaster.
func commandsOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range regexp.MustCompile(`(?m)^#     (ringmaster .*)$`).FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, m[1])
	}
	return lines
}

// The commands in the two jobs of MobileNetV2 for photos name what photos show, without any data, as torchvision and Keras do with the same
// weights: the same five likeliest classes, and probabilities within 1e-5. (Of a JPEG they are close.)
func TestPhotosWithWeightsFromElsewhere(t *testing.T) {
	folder := data(t, "photos")
	raw, err := os.ReadFile("testdata/photos.json")
	if err != nil {
		t.Fatal(err)
	}
	var seen seenPhotos
	if err := json.Unmarshal(raw, &seen); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(repository(t), "configs"), filepath.Join(dir, "configs")); err != nil {
		t.Fatal(err)
	}
	labels, err := os.ReadFile(filepath.Join(folder, "imagenet1k_labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	index := map[string][]string{} // as Keras' imagenet_class_index.json
	for line := range strings.Lines(string(labels)) {
		columns := strings.Split(strings.TrimSpace(line), "\t")
		index[columns[0]] = columns[1:]
	}
	asJSON, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"imagenet1k_labels.tsv": labels, "imagenet_class_index.json": asJSON} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeForeign(t, filepath.Join(dir, "mobilenet_v2.safetensors"), seen.torchvision(t, filepath.Join(dir, "imagenet1k_labels.tsv")))
	var keras []foreign
	for name, shape := range seen.Tensors {
		keras = append(keras, seen.valued("keras", name, shape))
	}
	writeForeign(t, filepath.Join(dir, "keras.safetensors"), keras)
	first := commandsOf(t, config(t, "mobilenetv2-imagenet.yaml"))
	seen.check(t, dir, folder, "torchvision", first[0], index)
	if code, _, stderr := run(t, dir, strings.Fields(first[1])[1:]...); code != 0 {
		t.Fatalf("%s: %s", first[1], stderr)
	}
	if err := os.Remove(filepath.Join(dir, "imagenet1k_labels.tsv")); err != nil {
		t.Fatal(err)
	}
	seen.check(t, dir, folder, "torchvision", first[2], index)
	seen.check(t, dir, folder, "keras", commandsOf(t, config(t, "mobilenetv2-imagenet-keras.yaml"))[0], index)
}

// torchvision are the tensors of torchvision's form.
func (s *seenPhotos) torchvision(t *testing.T, labels string) []foreign {
	t.Helper()
	job, err := configs.Load(config(t, "mobilenetv2-imagenet.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	described, err := dataset.DescribeLabelled(job.Data, labels)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Recall(job.Data, described)
	if err != nil {
		t.Fatal(err)
	}
	m, err := trainer.BuildModel(job, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	var out []foreign
	for _, p := range slices.Concat(m.Params(), m.Stats()) {
		out = append(out, s.valued("torchvision", p.Name, p.Shape))
	}
	return out
}

// check runs a command that names a photo, for all photos at once.
func (s *seenPhotos) check(t *testing.T, dir, folder, form, command string, index map[string][]string) {
	t.Helper()
	args := strings.Fields(strings.TrimSuffix(command, "--photo FILE.jpg"))[1:]
	var names []string
	for name := range s.Photos[form] {
		names, args = append(names, name), append(args, "--photo", filepath.Join(folder, name))
	}
	code, stdout, stderr := run(t, dir, append(args, "--json", "--top", "1000")...)
	if code != 0 {
		t.Fatalf("%s: exit code %d, %s", command, code, stderr)
	}
	var answer struct {
		Photos []struct {
			Classes []struct {
				Class       string
				Label       int
				Probability float64
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, photo := range answer.Photos {
		want, chances := s.Photos[form][names[i]], make([]float64, 1000)
		var best []int
		for _, c := range photo.Classes {
			chances[c.Label] = c.Probability
			best = append(best, c.Label)
			if known := index[fmt.Sprint(c.Label)]; c.Class != known[len(known)-1] {
				t.Fatalf("class %d is named %s", c.Label, c.Class)
			}
		}
		const bound = 1e-5
		if !slices.Equal(best[:5], want.Best[:5]) {
			t.Errorf("%s, %s: the likeliest are %v, want %v", form, names[i], best[:5], want.Best[:5])
		}
		off := 0.0
		for k, p := range want.Chances {
			off = max(off, math.Abs(chances[want.Best[k]]-p))
		}
		for k, p := range want.Others {
			off = max(off, math.Abs(chances[50*k]-p))
		}
		if off > bound {
			t.Errorf("%s, %s: a probability is off by %.2g", form, names[i], off)
		}
		worst = max(worst, off)
	}
	t.Logf("%s: probabilities of %d photos are within %.2g", form, len(names), worst)
}
