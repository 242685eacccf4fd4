package dataset

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/plural"
	"ringmaster/internal/regularfile"
)

// Bounds on a set of images.
const (
	maxImages       = 1 << 22
	maxImageFile    = 64 << 20 // bytes of one file
	maxArchiveBytes = 2 << 30  // of the files in an archive
)

// The parts of a set of images, as their folders are called.
const (
	trainPart = "train"
	testPart  = "test"
)

// imageFile is one image that has not been read yet.
type imageFile struct {
	part, class string
	name        string // of the file, within its class
	where       string // for people
	load        func() ([]byte, error)
}

// findImages lists the images below dir, which is a folder with a folder train, or an archive, or a folder with one
// archive in it. The list is sorted by part, class and name.
func findImages(dir string) ([]imageFile, error) {
	const layout = "train/CLASS/*.jpg and test/CLASS/*.jpg (or png, gif, bmp, tiff, webp), or a tar.gz of these"
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("images %s do not exist: set data.dir to a folder with %s", dir, layout)
	}
	if err != nil {
		return nil, unreadableFile("images", dir, err)
	}
	var files []imageFile
	if !info.IsDir() {
		files, err = readArchive(dir)
	} else if isFolder(filepath.Join(dir, trainPart)) {
		files, err = listImages(dir)
	} else {
		archives := archivesIn(dir)
		if len(archives) > 1 {
			return nil, fmt.Errorf("images: folder %s has no folder %s but %d archives: set data.dir to one of them", dir, trainPart, len(archives))
		}
		if len(archives) == 0 {
			return nil, fmt.Errorf("images: folder %s has neither a folder %s nor an archive: set data.dir to a folder with %s", dir, trainPart, layout)
		}
		files, err = readArchive(archives[0])
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b imageFile) int {
		return strings.Compare(path.Join(a.part, a.class, a.name), path.Join(b.part, b.class, b.name))
	})
	if len(files) == 0 || files[len(files)-1].part != trainPart {
		return nil, fmt.Errorf("images: %s has no training images: set data.dir to a folder with %s", dir, layout)
	}
	return files, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isFile reports whether an entry of a folder is a file, or a link to one: opening a named pipe would wait for a writer. What a link
// that leads nowhere is, reading it says.
func isFile(path string, entry fs.DirEntry) bool {
	if entry.Type().IsRegular() {
		return true
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

// archivesIn names the tar files in a folder.
func archivesIn(dir string) []string {
	var archives []string
	for _, suffix := range []string{".tar", ".tar.gz", ".tgz"} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+suffix))
		if err == nil {
			archives = append(archives, found...)
		}
	}
	return archives
}

// escapeGlob makes a pattern that matches the path alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// classify splits the path of an image into its part, its class and its name. Folders above the part do not matter.
func classify(file string) (imageFile, bool) {
	if !slices.Contains(picture.Endings, strings.ToLower(path.Ext(file))) {
		return imageFile{}, false
	}
	elements := strings.Split(path.Clean(file), "/")
	n := len(elements)
	if n < 3 || (elements[n-3] != trainPart && elements[n-3] != testPart) {
		return imageFile{}, false
	}
	if strings.HasPrefix(elements[n-1], ".") || strings.HasPrefix(elements[n-2], ".") {
		return imageFile{}, false
	}
	return imageFile{part: elements[n-3], class: elements[n-2], name: elements[n-1]}, true
}

// listImages lists the images in the folders train and test of a folder.
func listImages(dir string) ([]imageFile, error) {
	var files []imageFile
	for _, part := range []string{trainPart, testPart} {
		if !isFolder(filepath.Join(dir, part)) {
			continue
		}
		classes, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			return nil, unreadableFile("images", filepath.Join(dir, part), err)
		}
		for _, class := range classes {
			folder := filepath.Join(dir, part, class.Name())
			if !isFolder(folder) {
				continue
			}
			entries, err := os.ReadDir(folder)
			if err != nil {
				return nil, unreadableFile("images", folder, err)
			}
			for _, entry := range entries {
				f, ok := classify(path.Join(part, class.Name(), entry.Name()))
				if !ok {
					continue
				}
				f.where = filepath.Join(folder, entry.Name())
				if !isFile(f.where, entry) {
					continue
				}
				f.load = func() ([]byte, error) { return readBounded("image", f.where, maxImageFile) }
				files = append(files, f)
			}
			if len(files) > maxImages {
				return nil, fmt.Errorf("images: %s has more than %d images", dir, maxImages)
			}
		}
	}
	return files, nil
}

// readArchive reads the images in a tar file, which may be compressed by gzip, into memory.
func readArchive(name string) ([]imageFile, error) {
	f, err := regularfile.Open(name)
	if err != nil {
		return nil, unreadableFile("image archive", name, err)
	}
	defer f.Close()
	files, err := scanArchive(name, bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("image archive %s: %w", name, err)
	}
	return files, nil
}

func scanArchive(name string, r *bufio.Reader) ([]imageFile, error) {
	var content io.Reader = r
	if head, err := r.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		unzipped, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("its gzip header is damaged (%w): get the file again", err)
		}
		content = unzipped
	}
	var files []imageFile
	archive, total, seen := tar.NewReader(content), int64(0), map[string]bool{}
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("is cut short after %s: get the file again", plural.Of(len(files), "image"))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot be read after %s (%w): it should be a tar or tar.gz; get the file again", plural.Of(len(files), "image"), err)
		}
		file, ok := classify(header.Name)
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		id := path.Join(file.part, file.class, file.name)
		if total += header.Size; header.Size > maxImageFile || total > maxArchiveBytes || len(files) == maxImages || seen[id] {
			return nil, fmt.Errorf("%s occurs twice, is larger than %d bytes, or is beyond the %d images or %d bytes that are read", header.Name, maxImageFile, maxImages, int64(maxArchiveBytes))
		}
		seen[id] = true
		raw := make([]byte, header.Size)
		if _, err := io.ReadFull(archive, raw); err != nil {
			return nil, fmt.Errorf("ends within %s (%w): get the file again", header.Name, err)
		}
		file.where = name + ":" + header.Name
		file.load = func() ([]byte, error) { return raw, nil }
		files = append(files, file)
	}
	// The rest makes gzip check its sum.
	if _, err := io.CopyN(io.Discard, content, maxArchiveBytes); err != io.EOF {
		return nil, fmt.Errorf("is damaged behind its last file (%v): get the file again", err)
	}
	return files, nil
}
