package dataset

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// packedKinds are small sets of every kind that can be packed.
func packedKinds(t *testing.T) map[string]config.Data {
	t.Helper()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("To be, or not to be; that is the question. ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	images, digits := t.TempDir(), t.TempDir()
	writeFiles(t, digits, smallMNIST())
	writeFiles(t, images, smallSet(t))
	rows := "a,b,c,y\n"
	for i := range 700 {
		rows += strings.Join([]string{string(rune('0' + i%10)), string(rune('0'+i/70)) + ".5", "x" + string(rune('a'+i%3)), "k" + string(rune('a'+i%2))}, ",") + "\n"
	}
	table := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(table, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	csv := config.Data{Kind: config.DataCSV, Train: table, Target: "y", Categories: []string{"c", "y"}, Missing: config.MissingError, Delimiter: ",", Header: true, MemoryMiB: 16,
		Split: config.Split{Eval: 0.2, By: config.SplitStratified, Seed: 1}, Standardize: config.Columns{config.AllColumns}}
	pictures := imagesConfig(images)
	pictures.Crop, pictures.Augment = 1, []config.Augmentation{{Kind: config.AugmentFlip, P: 0.5}, {Kind: config.AugmentRotate, P: 1, Degrees: 20}}
	return map[string]config.Data{
		"mnist":  {Kind: config.DataMNIST, Dir: digits, MemoryMiB: 16},
		"text":   {Kind: config.DataText, Dir: text, Context: 31, Encoding: config.EncodingUTF8, MemoryMiB: 16},
		"images": pictures,
		"table":  csv,
	}
}

// samples reads all of a set, in steps, with augmentation for a key that is not zero.
func samples(t *testing.T, s Set, key rng.Key) (all []Column) {
	t.Helper()
	var b Batch
	for at := 0; at < s.Len(); at += 3 {
		var indices []int32
		for i := at; i < min(at+3, s.Len()); i++ {
			indices = append(indices, int32((i*7)%s.Len()))
		}
		if err := s.Read(&b, indices, key); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Columns {
			all = append(all, Column{slices.Clone(c.Floats), slices.Clone(c.Ints), slices.Clone(c.Lengths)})
		}
	}
	return all
}

func sameSamples(t *testing.T, what string, a, b Set, key rng.Key) {
	t.Helper()
	same := func(x, y Column) bool { return slices.Equal(x.Floats, y.Floats) && slices.Equal(x.Ints, y.Ints) }
	if a.Len() != b.Len() || !slices.EqualFunc(samples(t, a, key), samples(t, b, key), same) {
		t.Errorf("%s: other samples", what)
	}
}

// TestPackedSetsAreTheData packs each kind of data and reads it from the folder, in memory and not, and over HTTP: the same fingerprint, schema, samples
// and description.
func TestPackedSetsAreTheData(t *testing.T) {
	for kind, c := range packedKinds(t) {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "packed")
			want, err := Pack(c, dir)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.FileServer(http.Dir(dir)))
			defer server.Close()
			for _, from := range []string{dir, server.URL} {
				for _, memory := range []int{0, 16} {
					p := c
					p.Dir, p.Train, p.Path, p.MemoryMiB, p.Cache = "", "", from, memory, t.TempDir()
					got, err := Open(p)
					if err != nil {
						t.Fatal(err)
					}
					if got.Fingerprint != want.Fingerprint || string(got.Describe()) != string(want.Describe()) || !slices.Equal(got.Files, want.Files) {
						t.Fatalf("from %s: another fingerprint, description or files:\n%s\n%s", from, got.Describe(), want.Describe())
					}
					if resident := memory > 0; from == dir && got.readers[0].Resident() != resident {
						t.Errorf("from %s with %d MiB: in memory is %v", from, memory, !resident)
					}
					sameSamples(t, from+" training", got.Train, want.Train, rng.SeatKey(1, 2, 3, 0))
					sameSamples(t, from+" evaluation", got.Eval, want.Eval, rng.Key{})
				}
			}
		})
	}
}
