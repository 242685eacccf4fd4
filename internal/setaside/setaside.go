// Package setaside names the folders to which damaged files are moved, so that people can look at them, and bounds how many stay.
package setaside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Keep is how many folders stay in one place: the newest ones.
const Keep = 3

const prefix = "damaged-"

// folder is one that was set aside, the number-th in its place.
type folder struct {
	name   string
	number int
}

// folders lists what was set aside in dir, the oldest first. Folders of other names are somebody else's.
func folders(dir string) ([]folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list what was set aside: %w", err)
	}
	var all []folder
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		digits, _, _ := strings.Cut(rest, "-")
		if number, err := strconv.ParseUint(digits, 10, 31); ok && err == nil && e.IsDir() {
			all = append(all, folder{e.Name(), int(number)})
		}
	}
	slices.SortFunc(all, func(a, b folder) int { return a.number - b.number })
	return all, nil
}

// Path is where the next one in dir belongs: damaged-N, or damaged-N-LABEL. Nothing is made.
func Path(dir, label string) (string, error) {
	all, err := folders(dir)
	if err != nil {
		return "", err
	}
	name := prefix + "1"
	if len(all) > 0 {
		name = prefix + strconv.Itoa(all[len(all)-1].number+1)
	}
	if label != "" {
		name += "-" + label
	}
	return filepath.Join(dir, name), nil
}

// Drop deletes all but the newest of dir, and returns their names, also those that it could not delete whole.
func Drop(dir string) (dropped []string, err error) {
	all, err := folders(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range all[:max(0, len(all)-Keep)] {
		dropped = append(dropped, f.name)
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.name)))
	}
	return dropped, err
}
