package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/hf"
)

// folderOptions say how a folder of Hugging Face's form is written.
type folderOptions struct {
	merge bool
	shard string
}

// exportFolder writes the model as a folder of Hugging Face's form.
func exportFolder(cmd *cobra.Command, flags *trainedFlags, path, target string, o folderOptions) error {
	shard, err := parseShardSize(o.shard)
	if err != nil {
		return wrong(err)
	}
	if info, err := os.Stat(filepath.Dir(filepath.Clean(target))); err != nil || !info.IsDir() {
		return wrong(fmt.Errorf("--out %s: there is no folder %s; make it, or name another place", target, filepath.Dir(filepath.Clean(target))))
	}
	if _, err := hf.Vacant(readable{}, target); err != nil {
		return wrong(fmt.Errorf("--out %s: %w", target, err))
	}
	t, err := flags.find(cmd, path)
	if err != nil {
		return err
	}
	if o.merge && t.job.Model.LoRA.Rank == 0 {
		return wrong(fmt.Errorf("%s: job %s has no adapters (model.lora); export it without --merge", path, t.job.Name))
	}
	if err := t.recall(); err != nil {
		return err
	}
	if err := t.load(1); err != nil {
		return err
	}
	defer t.close()
	if o.merge {
		if err := t.merge(); err != nil {
			return err
		}
	}
	x := &hf.Export{Job: t.job, Model: t.plan.Model, Data: t.data, State: t.state, ShardBytes: shard, Average: t.averaged != "",
		Digest: checkpoint.Digest(t.state.Params), Origin: checkpoint.Origin{Job: string(t.job.Encode()), Data: string(t.data.Describe())}}
	if err := x.Check(); err != nil {
		return wrong(fmt.Errorf("%s: %w", path, err))
	}
	if t.manifest != nil && len(t.manifest.Epochs) > 0 {
		x.Epoch = &t.manifest.Epochs[len(t.manifest.Epochs)-1]
	}
	if x.Layout, err = t.plan.Layout(); err != nil {
		return failed(err)
	}
	if err := hf.Write(readable{}, target, x); err != nil {
		return failed(fmt.Errorf("export to %s: %w", target, err))
	}
	if caveat := x.Caveat(); caveat != "" {
		fmt.Fprintln(os.Stderr, "ringmaster: "+caveat)
	}
	fmt.Printf("%s: the model as Hugging Face's libraries load it (digest %s)\n", target, x.Digest)
	return nil
}

// readable is the disk with files that others may read, as far as the process's mask lets them.
type readable struct{ disk.OS }

// Mkdir makes a directory.
func (readable) Mkdir(dir string) error { return os.Mkdir(dir, 0o755) }

// Create makes a new file.
func (readable) Create(name string) (disk.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

// parseShardSize reads "200MB" or "5GB", in powers of 1000 as transformers counts, or of 1024 as "MiB" and "GiB".
func parseShardSize(s string) (int64, error) {
	units := map[string]int64{"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
	number := strings.TrimRight(s, "KMGiB")
	n, err := strconv.ParseInt(number, 10, 64)
	unit, known := units[s[len(number):]]
	if err != nil || !known || n < 1 || n > 1<<42/unit {
		return 0, fmt.Errorf("--shard-size %s is no size: write 200MB or 5GB", s)
	}
	return n * unit, nil
}
