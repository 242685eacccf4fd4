package dataset

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"ringmaster/internal/plan"
)

// FileSum is the SHA-256 of the decoded content of one file, of one class's images, or of all files of a folder. Two
// workers that have the same data have the same sums, whether their files are compressed or not and wherever they are.
type FileSum struct {
	Path string // relative to the data's folder, with slashes, without a compression's suffix; a folder ends in a slash
	Sum  [sha256.Size]byte
}

// maxFileSums bounds the sums of a data set, because they are part of what workers report and coordinators keep.
const maxFileSums = 64

// condense sums up the files of whole folders, as deep as leaves at most maxFileSums sums. Where even the top has more
// entries, it sums up stretches of them. The files are sorted so that those of a folder are adjacent.
func condense(files []FileSum) []FileSum {
	if len(files) <= maxFileSums {
		return files
	}
	deepest := 0
	for _, f := range files {
		deepest = max(deepest, strings.Count(f.Path, "/"))
	}
	for depth := deepest; depth >= 1; depth-- {
		if groups := byFolder(files, depth); len(groups) <= maxFileSums {
			return groups
		}
	}
	top := byFolder(files, 1)
	stretches := make([]FileSum, 0, maxFileSums)
	for _, part := range (plan.Interval{Begin: 0, End: len(top)}).Parts(maxFileSums) {
		stretch := top[part.Begin:part.End]
		stretches = append(stretches, sumUp(fmt.Sprintf("%s ... %s", stretch[0].Path, stretch[len(stretch)-1].Path), stretch))
	}
	return stretches
}

// byFolder sums up the files of each folder that is depth levels deep. Files above that stay.
func byFolder(files []FileSum, depth int) []FileSum {
	var groups []FileSum
	for begin := 0; begin < len(files); {
		folder := folderOf(files[begin].Path, depth)
		end := begin + 1
		if folder == "" {
			groups = append(groups, files[begin])
			begin = end
			continue
		}
		for end < len(files) && folderOf(files[end].Path, depth) == folder {
			end++
		}
		groups = append(groups, sumUp(folder, files[begin:end]))
		begin = end
	}
	return groups
}

// folderOf is the first depth folders of a path, with a slash at the end, or "" where it has fewer.
func folderOf(path string, depth int) string {
	end := 0
	for range depth {
		slash := strings.IndexByte(path[end:], '/')
		if slash < 0 {
			return ""
		}
		end += slash + 1
	}
	return path[:end]
}

// sumUp is the sum of sums and of what they are called.
func sumUp(path string, files []FileSum) FileSum {
	h := sha256.New()
	for _, f := range files {
		putSum(h, f)
	}
	return FileSum{path, [sha256.Size]byte(h.Sum(nil))}
}

// putSum writes a sum so that no two lists of sums read alike.
func putSum(w io.Writer, f FileSum) {
	putInt(w, len(f.Path))
	io.WriteString(w, f.Path)
	w.Write(f.Sum[:])
}
