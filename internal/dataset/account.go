package dataset

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// account counts what of a folder or an archive is read and what is left out, so that data never shrink in silence.
type account struct {
	read int
	left []leftOut // by reason, in the order in which they came up
}

// leftOut is what is left out for one reason.
type leftOut struct {
	reason string
	count  int
	first  string
	data   bool // it looks like data: it counts against data.left_out
}

// maxReasons bounds the number of distinct reasons: there may be as many file extensions as files.
const maxReasons = 24

// leave counts something that is left out.
func (a *account) leave(reason, where string, data bool) {
	k := slices.IndexFunc(a.left, func(l leftOut) bool { return l.reason == reason && l.data == data })
	if k < 0 && len(a.left) >= maxReasons {
		reason = "other files"
		k = slices.IndexFunc(a.left, func(l leftOut) bool { return l.reason == reason && l.data == data })
	}
	if k < 0 {
		a.left = append(a.left, leftOut{reason: reason, first: where, data: data})
		k = len(a.left) - 1
	}
	a.left[k].count++
}

// String lists what is left out, "" for nothing.
func (a *account) String() string {
	parts := make([]string, len(a.left))
	for i, l := range a.left {
		parts[i] = fmt.Sprintf("%d %s (%s)", l.count, l.reason, l.first)
		if l.count > 1 {
			parts[i] = fmt.Sprintf("%d %s (first %s)", l.count, l.reason, l.first)
		}
	}
	return strings.Join(parts, ", ")
}

// orNone is String, or a word for nothing.
func (a *account) orNone() string { return cmp.Or(a.String(), "nothing") }

// check refuses to leave out more than a share of the files that look like data.
func (a *account) check(what, dir string, most float64) error {
	out := account{}
	count := 0
	for _, l := range a.left {
		if l.data {
			out.left = append(out.left, l)
			count += l.count
		}
	}
	if all := count + a.read; float64(count) > most*float64(all) {
		return fmt.Errorf("%s: of %s in %s that look like data %d would be left out, more than data.left_out allows (%g of all): %s: put them right, or raise data.left_out (1 allows any)",
			what, plural.Of(all, "file"), dir, count, most, out.String())
	}
	return nil
}

// hidden reports whether a file or folder is left out by its name alone, and why: what begins with a dot, and what operating systems
// leave in folders.
func hidden(name string) (reason string, is bool) {
	switch {
	case strings.HasPrefix(name, "."):
		return "hidden", true
	case slices.Contains([]string{"thumbs.db", "desktop.ini", "__macosx", "@eadir", "ehthumbs.db"}, strings.ToLower(name)):
		return "of an operating system", true
	}
	return "", false
}

// Endings of files that go with data without being any.
var (
	papers = []string{"", ".txt", ".md", ".rst", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".htm", ".log", ".py", ".sh", ".ini", ".toml", ".sha256", ".md5"}
	media  = append([]string{".svg", ".ico", ".heic", ".avif", ".mp3", ".wav", ".ogg", ".flac", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".ttf", ".otf", ".woff",
		".woff2", ".eot", ".exe", ".dll", ".so", ".dylib", ".a", ".o", ".obj", ".syso", ".pyc", ".class", ".jar", ".wasm"}, picture.Endings...)
)

// notPicture says why a file that is no picture by its name is left out.
func notPicture(name string) (reason string, data bool) {
	ending := strings.ToLower(path.Ext(name))
	if slices.Contains(papers, ending) {
		return "that are no pictures", false
	}
	return "of the format " + printable.Short(ending, maxList) + ", which is not read", true
}
