package trainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
)

// TestWeightsOfTheOtherForm writes weights of MobileNetV2 in each form, as export does, and begins jobs of both forms with them. Files that do not say
// which job made them, as those of other programs, are taken.
func TestWeightsOfTheOtherForm(t *testing.T) {
	schema := dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{3, 32, 32}},
		{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: 2}}
	parse := func(form, init string) *config.Job {
		job, err := config.Parse("job.yaml", fmt.Appendf(nil, "name: photos\nmodel: {kind: mobilenetv2, variant: cifar, form: %s%s}\ndata: {kind: images, dir: photos}\n", form, init), nil)
		if err != nil {
			t.Fatal(err)
		}
		return job
	}
	forms := []string{config.FormTorchvision, config.FormKeras}
	for _, made := range forms {
		for _, told := range []bool{true, false} {
			job := parse(made, "")
			m, err := BuildModel(job, schema)
			if err != nil {
				t.Fatal(err)
			}
			layout, err := (&Plan{Job: job, Model: m}).Layout()
			if err != nil {
				t.Fatal(err)
			}
			path, origin := filepath.Join(t.TempDir(), "weights.safetensors"), checkpoint.Origin{}
			if told {
				origin.Job = string(job.Encode())
			}
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := layout.WriteModel(f, layout.NewState(), origin); err != nil {
				t.Fatal(err)
			}
			f.Close()
			for _, taken := range forms {
				next := parse(taken, fmt.Sprintf(", init: %q", path))
				if m, err = BuildModel(next, schema); err != nil {
					t.Fatal(err)
				}
				_, err := CheckInit(t.Context(), next, m)
				refused := err != nil && strings.HasPrefix(err.Error(), "job.yaml:2:50: model.form is "+taken) && strings.HasSuffix(err.Error(), "set model.form: "+made) && !strings.Contains(err.Error(), "\n")
				if wrong := told && made != taken; wrong && !refused || !wrong && err != nil {
					t.Errorf("weights of form %s (told %v) in a job of form %s: %v", made, told, taken, err)
				}
			}
		}
	}
}
