package dataset

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// maxFiles bounds the files of one set.
const maxFiles = 1 << 17

// fileSet is the files that a data set is read from.
type fileSet struct {
	shown string   // how the job file names them
	files []string // in order
	part  string   // the part that the names of files in a folder tell; "": none

	others []*fileSet // the parts of the folder that names tell beside it
	left   account    // what of the folder is left out
}

// findFiles lists the files that a place names: a file; several, as in train-{000..012}.tar, part-*.csv or a.csv::b.csv; or a folder, whose files are
// divided into parts by their names. Numbers in names are in the order of their values.
func findFiles(place string, endings []string) (*fileSet, error) {
	s := &fileSet{shown: place}
	for _, pattern := range strings.Split(place, "::") {
		pattern = config.ExpandHome(pattern)
		if info, err := os.Stat(pattern); err == nil {
			if info.IsDir() {
				if strings.Contains(place, "::") {
					return nil, fmt.Errorf("%s is a folder; a list names files", pattern)
				}
				return filesIn(pattern, endings)
			}
			s.files = append(s.files, pattern)
			continue
		}
		names, err := braces(pattern, maxFiles)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			found := []string{name}
			if strings.ContainsAny(name, "*?") {
				if found, err = filepath.Glob(name); err != nil {
					return nil, fmt.Errorf("%s is no pattern of names: %w", name, err)
				}
				if len(found) == 0 {
					return nil, fmt.Errorf("there are no files %s", name)
				}
				slices.SortFunc(found, byNumbers)
			}
			s.files = append(s.files, found...)
		}
		if len(s.files) > maxFiles {
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
	}
	return s, nil
}

// filesIn finds the files of a folder, and which part of the data each belongs to. Those whose names tell no part are for training.
func filesIn(folder string, endings []string) (*fileSet, error) {
	parts := map[string]*fileSet{}
	left := account{}
	w := &walker{what: "data folder", account: &left, once: true, visit: func(relative, full string) error {
		lower := strings.ToLower(relative)
		for _, packed := range []string{".gz", ".zst"} {
			lower = strings.TrimSuffix(lower, packed)
		}
		if !slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(lower, ending) }) {
			left.leave("of other formats", relative, false)
			return nil
		}
		part := partOf(relative)
		if parts[part] == nil {
			parts[part] = &fileSet{shown: folder, part: part}
		}
		if p := parts[part]; len(p.files) < maxFiles {
			p.files = append(p.files, full)
			return nil
		}
		return wrongDir("%s has more than %d files", folder, maxFiles)
	}}
	if err := w.walk(folder, ""); err != nil {
		return nil, err
	}
	if parts[""] != nil && parts[trainPart] == nil {
		parts[trainPart] = parts[""]
		delete(parts, "")
	}
	s := parts[trainPart]
	if s == nil {
		return nil, fmt.Errorf("folder %s has no files for training that end in %s (left out: %s)", folder, strings.Join(endings, ", "), left.orNone())
	}
	if rest := parts[""]; rest != nil {
		left.leave("whose names tell no part, beside files that do", rest.files[0], true)
		left.left[len(left.left)-1].count = len(rest.files)
	}
	s.left = left
	for _, part := range []string{testPart, validationPart} {
		if other := parts[part]; other != nil {
			s.others = append(s.others, other)
		}
	}
	for _, each := range append([]*fileSet{s}, s.others...) {
		slices.SortFunc(each.files, byNumbers)
	}
	return s, nil
}

const validationPart = "validation"

// partWords are what names call the parts of data.
var partWords = map[string]string{
	"train": trainPart, "training": trainPart, "test": testPart, "testing": testPart, "eval": testPart, "evaluation": testPart,
	"validation": validationPart, "valid": validationPart, "val": validationPart, "dev": validationPart,
}

// partOf is the part that a path tells: by a word of the file's name, as in train-00000-of-00005.parquet, or of a folder, the innermost first; "" for none.
func partOf(relative string) string {
	elements := strings.Split(path.Clean(strings.ToLower(relative)), "/")
	for _, element := range slices.Backward(elements) {
		words := strings.FieldsFunc(element, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
		for _, word := range words {
			if part := partWords[strings.TrimRight(word, "0123456789")]; part != "" {
				return part
			}
		}
	}
	return ""
}

// byNumbers orders names as people count: numbers in them by their values, everything else by its characters.
func byNumbers(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		n, m := leadingDigits(x), leadingDigits(y)
		if n == 0 || m == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		p, q := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q)); c != 0 {
			return c
		}
		x, y = x[n:], y[m:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func leadingDigits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// braces expands {a,b} and {000..012} as shells do; the numbers of a range have as many digits as its longer end that begins with 0. There may be most results.
func braces(pattern string, most int) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}, nil
	}
	depth, end, commas := 0, -1, []int(nil)
	for i := open; i < len(pattern) && end < 0; i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case '}':
			if depth--; depth == 0 {
				end = i
			}
		}
		if depth > maxDepth {
			return nil, fmt.Errorf("%s has braces more than %d deep", printable.Typed(pattern), maxDepth)
		}
	}
	if end < 0 {
		return nil, fmt.Errorf("%s has a brace that is never closed", printable.Typed(pattern))
	}
	var middles []string
	if commas == nil {
		var err error
		if middles, err = numbersOf(pattern[open+1:end], most); err != nil {
			return nil, err
		}
	} else {
		from := open + 1
		for _, comma := range append(commas, end) {
			each, err := braces(pattern[from:comma], most)
			if err != nil {
				return nil, err
			}
			middles = append(middles, each...)
			from = comma + 1
		}
	}
	tails, err := braces(pattern[end+1:], most)
	if err != nil {
		return nil, err
	}
	if len(middles)*len(tails) > most {
		return nil, fmt.Errorf("%s names more than %s", printable.Typed(pattern), plural.Of(most, "file"))
	}
	var all []string
	for _, middle := range middles {
		for _, tail := range tails {
			all = append(all, pattern[:open]+middle+tail)
		}
	}
	return all, nil
}

// numbersOf are the numbers of a range as it stands between braces.
func numbersOf(text string, most int) ([]string, error) {
	first, last, ok := strings.Cut(text, "..")
	var a, b int
	if ok {
		_, errA := fmt.Sscanf(first+" ", "%d ", &a)
		_, errB := fmt.Sscanf(last+" ", "%d ", &b)
		ok = errA == nil && errB == nil && leadingDigits(first) == len(first) && leadingDigits(last) == len(last) && b >= a
	}
	if !ok {
		return nil, fmt.Errorf("{%s} is neither a list like {a,b} nor a range like {000..012}", printable.Short(text, maxList))
	}
	if b-a >= most {
		return nil, fmt.Errorf("{%s} names more than %s", text, plural.Of(most, "file"))
	}
	width := 0
	for _, end := range []string{first, last} {
		if len(end) > 1 && end[0] == '0' {
			width = max(width, len(first), len(last))
		}
	}
	var all []string
	for n := a; n <= b; n++ {
		all = append(all, fmt.Sprintf("%0*d", width, n))
	}
	return all, nil
}

// check says which file is not there.
func (s *fileSet) check() error {
	for _, name := range s.files {
		if _, err := os.Stat(name); err != nil {
			if os.IsNotExist(err) {
				return fmt.Errorf("%s does not exist: %w", name, fs.ErrNotExist)
			}
			return unreadableFile("table", name, err)
		}
	}
	return nil
}

// words says which files there are, for people.
func (s *fileSet) words() string {
	if len(s.files) == 1 {
		return s.files[0]
	}
	return fmt.Sprintf("%s (%s to %s)", plural.Of(len(s.files), "file"), s.files[0], filepath.Base(s.files[len(s.files)-1]))
}
