package dataset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tree is the sums of files with these paths; content tells those of one tree from another's.
func tree(content byte, paths ...string) []FileSum {
	slices.Sort(paths)
	var files []FileSum
	for _, p := range paths {
		files = append(files, FileSum{Path: p, Sum: [32]byte{content}})
	}
	return files
}

func many(pattern string, n int) []string {
	var paths []string
	for i := range n {
		paths = append(paths, fmt.Sprintf(pattern, i))
	}
	return paths
}

func TestCondense(t *testing.T) {
	join := func(lists ...[]string) []string { return slices.Concat(lists...) }
	for name, c := range map[string]struct {
		paths []string
		want  string // the paths that result
	}{
		"few":       {[]string{"a", "b/c", "b/d"}, "a b/c b/d"},
		"two parts": {join(many("test/%d", 80), many("train/%d", 80)), "test/ train/"},
		"deep":      {join(many("net/http/%d.go", 70), many("net/url/%d.go", 3), []string{"net/ip.go", "readme"}), "net/http/ net/ip.go net/url/ readme"},
		"too deep":  {join(many("net/%d/x.go", 70), []string{"readme"}), "net/ readme"},
		"flat":      {many("%03d", 128), strings.TrimSpace(strings.Join(pairs(64), " "))},
	} {
		files := tree(1, c.paths...)
		var got []string
		for _, f := range condense(files) {
			got = append(got, f.Path)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: condensed to %v", name, got)
		}
	}
	base := tree(1, many("train/%03d", 90)...)
	other := slices.Clone(base)
	other[57].Sum[3]++
	renamed := slices.Clone(base)
	renamed[57].Path = "train/057x"
	for name, files := range map[string][]FileSum{"a sum": other, "a name": renamed, "one less": base[:89]} {
		if condense(files)[0] == condense(base)[0] {
			t.Errorf("%s does not show in the folder's sum", name)
		}
	}
}

// pairs names the n stretches of two of a flat folder.
func pairs(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%03d ... %03d", 2*i, 2*i+1))
	}
	return names
}
