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

	"ringmaster/internal/config"
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
	heldPart  = "held" // those of the test part that eval --part test reads, beside the evaluation set
)

// trainNames are what the folder of the training images may be called, in lower case.
var trainNames = []string{trainPart, "training"}

// testNames are what the folder of the test part may be called.
var testNames = config.EvalFolders[:2]

func isPart(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(trainNames, name) || slices.Contains(config.EvalFolders, name)
}

// imageFile is one image that has not been read yet.
type imageFile struct {
	part  string // what its folder is called, later trainPart or testPart
	class string
	name  string // of the file, within its class
	where string // for people
	path  string // of the file; "": it is in an archive
	load  func() ([]byte, error)
}

func (f *imageFile) place() string          { return f.where }
func (f *imageFile) bytes() ([]byte, error) { return f.load() }

// findImages lists the images below dir, which is a folder with a folder train, or an archive, or a folder with one
// archive in it; where the job splits it, it may also be a folder with a folder for each class. The list is sorted by part, class and name.
func findImages(c config.Data) ([]imageFile, *account, error) {
	dir := c.Dir
	const layout = "train/CLASS/*.jpg and test/CLASS/*.jpg (or val; png, gif, bmp, tiff, webp), or a tar.gz of these"
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, wrongDir("images %s do not exist: set data.dir to a folder with %s", dir, layout)
	}
	if err != nil {
		return nil, nil, unreadableFile("images", dir, err)
	}
	var files []imageFile
	left := &account{}
	if !info.IsDir() {
		files, err = readArchive(dir, left)
	} else if archives := archivesIn(dir); hasTrain(dir) || c.Split != (config.Split{}) && len(archives) == 0 {
		files, err = listImages(dir, left)
	} else {
		if len(archives) > 1 {
			return nil, nil, wrongDir("images: folder %s has no folder %s but %d archives: set data.dir to one of them", dir, trainPart, len(archives))
		}
		if len(archives) == 0 {
			return nil, nil, wrongDir("images: folder %s has neither a folder %s nor an archive: set data.dir to a folder with %s", dir, trainPart, layout)
		}
		files, err = readArchive(archives[0], left)
	}
	if err != nil {
		return nil, nil, err
	}
	byPath := func(a, b imageFile) int {
		return strings.Compare(path.Join(a.part, a.class, a.name), path.Join(b.part, b.class, b.name))
	}
	slices.SortFunc(files, byPath) // an archive has any order
	files = settleParts(files, left, c)
	slices.SortFunc(files, byPath)
	if left.read = len(files); left.read > 0 {
		if err := left.check("images", dir, c.LeftOut); err != nil {
			return nil, nil, err
		}
	}
	if len(files) == 0 || files[len(files)-1].part != trainPart { // the last of all by name
		return nil, nil, wrongDir("images: %s has no training images (left out: %s): set data.dir to a folder with %s", dir, left.orNone(), layout)
	}
	return files, left, nil
}

// settleParts calls the parts of images train, test and held. Of several folders for evaluation one is used, and those of the test part beside it are held; all others
// are left out.
func settleParts(files []imageFile, left *account, c config.Data) []imageFile {
	eval, splits := strings.ToLower(c.Eval), c.Split != (config.Split{})
	if eval == "" && !splits {
		for _, name := range slices.Backward(config.EvalFolders) {
			if slices.ContainsFunc(files, func(f imageFile) bool { return strings.ToLower(f.part) == name }) {
				eval = name
			}
		}
	}
	kept := files[:0]
	for _, f := range files {
		switch name := strings.ToLower(f.part); {
		case slices.Contains(trainNames, name):
			f.part = trainPart
		case name == eval:
			f.part = testPart
		case slices.Contains(testNames, name) && c.Split.Test == 0:
			f.part = heldPart
		case splits:
			left.leave(fmt.Sprintf("in %s, since data.split makes the parts", f.part), path.Join(f.part, f.class, f.name), false)
			continue
		default:
			left.leave(fmt.Sprintf("in %s, since %s is the evaluation set", f.part, eval), path.Join(f.part, f.class, f.name), false)
			continue
		}
		kept = append(kept, f)
	}
	return kept
}

// hasTrain reports whether a folder has one for training.
func hasTrain(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return slices.Contains(trainNames, strings.ToLower(e.Name())) && isFolder(filepath.Join(dir, e.Name()))
	})
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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

// classify splits the path of a file into part, class and name, or counts it as left out. Folders above the part do not matter; below
// the class there may be more.
func classify(file string, left *account) (imageFile, bool) {
	elements := strings.Split(path.Clean(file), "/")
	for _, element := range elements {
		if reason, is := hidden(element); is && element != "." && element != ".." {
			left.leave(reason, file, false)
			return imageFile{}, false
		}
	}
	n := len(elements)
	if !slices.Contains(picture.Endings, strings.ToLower(path.Ext(file))) {
		reason, data := notPicture(file)
		left.leave(reason, file, data && slices.ContainsFunc(elements, isPart))
		return imageFile{}, false
	}
	at := n - 3
	if at < 0 || !isPart(elements[at]) {
		at = slices.IndexFunc(elements, isPart)
	}
	switch {
	case at < 0:
		left.leave("images beside "+trainPart+" and "+testPart, file, false)
	case n-at < 3:
		left.leave("images directly in "+elements[at]+", without the folder of a class", file, true)
	default:
		return imageFile{part: elements[at], class: elements[at+1], name: path.Join(elements[at+2:]...)}, true
	}
	return imageFile{}, false
}

// listImages lists the images in the folders of the parts of a folder, or those of a folder without a part for training, which all are for it.
func listImages(dir string, left *account) ([]imageFile, error) {
	var files []imageFile
	w := &walker{what: "images", account: left, visit: func(relative, full string) error {
		f, ok := classify(relative, left)
		if !ok {
			return nil
		}
		f.where, f.path = full, full
		f.load = func() ([]byte, error) { return readBounded("image", full, maxImageFile) }
		files = append(files, f)
		if len(files) > maxImages {
			return fmt.Errorf("images: %s has more than %d images", dir, maxImages)
		}
		return nil
	}}
	if !hasTrain(dir) { // a folder for each class
		err := w.walk(dir, trainPart)
		return files, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unreadableFile("images", dir, err)
	}
	for _, entry := range entries {
		switch name, folder := entry.Name(), isFolder(filepath.Join(dir, entry.Name())); {
		case folder && isPart(name):
			err = w.walk(filepath.Join(dir, name), name)
		case folder && !strings.HasPrefix(name, "."):
			left.leave("folders beside "+trainPart+" and "+testPart, name, false)
		default:
			classify(name, left)
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readArchive reads the images in a tar file, which may be compressed by gzip, into memory.
func readArchive(name string, left *account) ([]imageFile, error) {
	f, err := regularfile.Open(name)
	if err != nil {
		return nil, unreadableFile("image archive", name, err)
	}
	defer f.Close()
	files, err := scanArchive(name, left, bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("image archive %s: %w", name, err)
	}
	return files, nil
}

func scanArchive(name string, left *account, r *bufio.Reader) ([]imageFile, error) {
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
		if header.Typeflag == tar.TypeDir {
			continue
		}
		file, ok := classify(header.Name, left)
		if ok && header.Typeflag != tar.TypeReg {
			left.leave("links within the archive", header.Name, true)
		}
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
