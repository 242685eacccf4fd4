package release

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is a file, a folder or a link of what is packed.
type File struct {
	Path  string      // with slashes, without one in front
	Mode  fs.FileMode // permissions, and fs.ModeDir for a folder
	Data  []byte
	Link  string // of a link: where it leads
	Owner int    // user and group
}

// WriteTar writes files, sorted by path, with the folders above them. All of them have one time.
func WriteTar(w io.Writer, files []File, at time.Time) error {
	out := tar.NewWriter(w)
	for _, f := range withFolders(files) {
		header := &tar.Header{Name: f.Path, Mode: int64(f.Mode.Perm()), ModTime: at, Uid: f.Owner, Gid: f.Owner, Typeflag: tar.TypeReg, Size: int64(len(f.Data))}
		if f.Mode&fs.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		switch {
		case f.Mode.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, f.Path+"/"
		case f.Link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.Link
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if _, err := out.Write(f.Data); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return out.Close()
}

// WriteArchive writes files below a folder as a compressed tar.
func WriteArchive(w io.Writer, folder string, files []File, at time.Time) error {
	below := make([]File, len(files))
	for i, f := range files {
		below[i] = f
		below[i].Path = path.Join(folder, f.Path)
	}
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := WriteTar(compressed, below, at); err != nil {
		return err
	}
	return compressed.Close()
}

// withFolders adds the folders that are not among the files, and sorts.
func withFolders(files []File) []File {
	all := slices.Clone(files)
	seen := map[string]bool{".": true}
	for _, f := range files {
		seen[f.Path] = true
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			all = append(all, File{Path: dir, Mode: fs.ModeDir | 0o755})
		}
	}
	slices.SortFunc(all, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// Committed reads the files that git knows below some paths of the source, so that what else lies there is not packed.
func Committed(source string, paths ...string) ([]File, error) {
	list, err := git(source, append([]string{"ls-files", "-z", "--"}, paths...)...)
	if err != nil {
		return nil, err
	}
	var files []File
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(source, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: name, Mode: 0o644, Data: data})
	}
	return files, nil
}
