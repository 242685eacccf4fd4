package dataset

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/dataset/shards"
	"ringmaster/internal/table"
)

// JobFor is the text of a job that reads the data at a path, whose kind follows from what is there: a packed set, a table by its name, the files of
// MNIST, pictures in folders train/CLASS or CLASS, or in an archive of these, else texts.
func JobFor(path string) ([]byte, error) {
	if shards.IsURL(path) {
		return jobText(config.DataShards, "path", path), nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadableFile("data", path, err)
	}
	if !info.IsDir() {
		if format, ok := table.FormatOf(path); ok {
			for _, kind := range slices.Sorted(maps.Keys(tableFormats)) {
				if tableFormats[kind] == format {
					return jobText(kind, "train", path), nil
				}
			}
		}
		if name := strings.ToLower(path); strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") {
			return jobText(config.DataImages, "dir", path), nil
		}
		return jobText(config.DataText, "dir", path), nil
	}
	if _, err := os.Stat(filepath.Join(path, shards.IndexName)); err == nil {
		return jobText(config.DataShards, "path", path), nil
	}
	if _, err := findIDX(path, trainImages); err == nil {
		return jobText(config.DataMNIST, "dir", path), nil
	}
	if hasTrain(path) || len(archivesIn(path)) == 1 || picturesBelow(path) {
		return jobText(config.DataImages, "dir", path), nil
	}
	return jobText(config.DataText, "dir", path), nil
}

// picturesBelow reports whether a folder's folders begin with pictures.
func picturesBelow(dir string) bool {
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*", "*"))
	return err == nil && len(found) > 0 && slices.Contains(picture.Endings, strings.ToLower(filepath.Ext(found[0])))
}

func jobText(kind, key, path string) []byte {
	model := config.ModelMLP
	if kind == config.DataText {
		model = config.ModelGPT
	}
	target := ""
	if _, is := tableFormats[kind]; is {
		target = ", target: \"\"" // without one, --set data.target is asked for
	}
	return fmt.Appendf(nil, "model: {kind: %s}\ndata: {kind: %s, %s: %q%s}\n", model, kind, key, path, target)
}
