package release

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// SumsFile lists the SHA-256 of a release's files, as sha256sum reads it.
const SumsFile = "SHA256SUMS"

// WriteSums lists the files of a folder, sorted by name, in SumsFile.
func WriteSums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, e := range entries {
		if e.Name() == SumsFile {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, SumsFile), out.Bytes(), 0o644)
}
