package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
)

// The four files of MNIST and of the sets that share its form (Fashion-MNIST, KMNIST).
const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// digits is how many classes there are at least: a set of few samples may lack some. More labels make more classes.
const digits = 10

// maxFile bounds the size of any single file that is read whole.
const maxFile = 1 << 30

// openMNIST reads the four IDX files in dir. Inputs are pixels/255, a vector of rows x columns values. There are as many classes as a
// model has, if one is given, or as the labels make.
func openMNIST(c config.Data, model []string) (*Data, error) {
	dir := c.Dir
	if err := checkFolder(dir, "the four IDX files of MNIST"); err != nil {
		return nil, err
	}
	d := &Data{}
	room := &keeping{limit: int64(c.MemoryMiB) << 20}
	train, shape, err := readLabelled(d, c, room, trainImages, trainLabels)
	if err != nil {
		return nil, err
	}
	eval, evalShape, err := readLabelled(d, c, room, testImages, testLabels)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape, evalShape) {
		return nil, fmt.Errorf("data in %s: training images have %v pixels and test images %v: they belong to different sets; put all four files of one set there", dir, shape, evalShape)
	}
	classes := max(digits, len(model), int(slices.Max(train.labels))+1, int(slices.Max(eval.labels))+1)
	if len(model) == 0 {
		if err := checkLabels(train.labels, eval.labels, classes, dir); err != nil {
			return nil, err
		}
	}
	d.Labels = numberNames(classes)
	train.schema = pictureSchema(shape, classes, d.Labels)
	eval.schema = train.schema
	d.pixels = greyPixels(shape[0], shape[1])
	d.pixels.entries = c.Augment
	d.Read = fmt.Sprintf("%s for training and %d for evaluation, of %s, in %s", plural.Of(train.Len(), "image"), eval.Len(), plural.Of(classes, "class"), dir)
	return d, d.sets(train, eval, d.pixels.transforms()...)
}

// checkLabels refuses labels beyond the digits that leave others out: a damaged label would make a class of its own, and classes that
// nothing is learnt of. Some sets, like EMNIST's letters, begin at 1.
func checkLabels(train, eval []int32, classes int, dir string) error {
	if classes == digits {
		return nil
	}
	seen := make([]bool, classes)
	for _, label := range train {
		seen[label] = true
	}
	gap := slices.Index(seen[1:], false) + 1
	if gap == 0 {
		return nil
	}
	file, at := trainLabels, slices.Index(train, int32(classes-1))
	if at < 0 {
		file, at = testLabels, slices.Index(eval, int32(classes-1))
	}
	return fmt.Errorf("data in %s: in %s the label of sample %d, at byte %d, is %d, but no training image has label %d: get the file again, or number the labels without gaps",
		dir, file, at, 8+at, classes-1, gap)
}

// checkFolder gives a helpful error if dir is not a folder; what describes the expected content.
func checkFolder(dir, what string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrongDir("data folder %s does not exist: set data.dir to the folder that holds %s", dir, what)
	case err != nil:
		return unreadableFile("data folder", dir, err)
	case !info.IsDir():
		return wrongDir("data folder %s is a file: set data.dir to the folder that holds %s", dir, what)
	}
	return nil
}

// readLabelled reads a file of images and that of their labels, and adds their sums to d. Images for which there is no room in memory are
// spilled, unpacked.
func readLabelled(d *Data, c config.Data, room *keeping, imageFile, labelFile string) (*pictures, []int, error) {
	images, imagePath, err := readIDX(d, c, room, imageFile, 3)
	if err != nil {
		return nil, nil, err
	}
	labels, labelPath, err := readIDX(d, c, nil, labelFile, 1)
	if err != nil {
		return nil, nil, err
	}
	count, shape := images.dims[0], images.dims[1:]
	if labels.dims[0] != count {
		return nil, nil, fmt.Errorf("%s has %s, but %s has %s: they belong to different sets; put all four files of one set there", labelPath,
			plural.Of(labels.dims[0], "label"), imagePath, plural.Of(count, "image"))
	}
	p := &pictures{width: shape[0] * shape[1], values: images.values, labels: make([]int32, count)}
	if images.file != nil {
		p.file = images.file
	}
	for i, label := range labels.values {
		p.labels[i] = int32(label)
	}
	return p, shape, nil
}

// readIDX finds, reads and decodes one of the files and adds the sum of its decoded content to d. What the room has no place for is spilled;
// without a room it is in memory.
func readIDX(d *Data, c config.Data, room *keeping, stem string, rank int) (idx, string, error) {
	path, err := findIDX(c.Dir, stem)
	if err != nil {
		return idx{}, "", err
	}
	h := sha256.New()
	file, err := spillIDX(c, room, path, rank, h)
	if err != nil {
		return idx{}, "", err
	}
	if file.file == nil {
		raw, err := readWhole(path)
		if err != nil {
			return idx{}, "", err
		}
		if file, err = decodeIDX(path, raw, rank); err != nil {
			return idx{}, "", err
		}
		file.sum(h)
		h.Write(file.values)
	}
	d.Files = append(d.Files, FileSum{stem, [sha256.Size]byte(h.Sum(nil))})
	return file, path, nil
}

// findIDX looks for a file under the names that it is distributed with: a dash or a dot before idx, plain or gzip; or the only one with the
// name of a set before that.
func findIDX(dir, stem string) (string, error) {
	dotted := strings.Replace(stem, "-idx", ".idx", 1)
	names := []string{stem, stem + ".gz", dotted, dotted + ".gz"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", unreadableFile("data file", path, err)
		}
		if info.IsDir() {
			return "", fmt.Errorf("data file %s is a folder: unpack the file itself to this name", path)
		}
		return path, nil
	}
	prefixed, err := findPrefixed(dir, stem)
	switch {
	case err != nil:
		return "", err
	case len(prefixed) > 1:
		return "", wrongDir("data folder %s has several sets (%s): set data.dir to a folder with one of them", dir, printable.Short(strings.Join(prefixed, ", "), maxList))
	case len(prefixed) == 1:
		return filepath.Join(dir, prefixed[0]), nil
	}
	return "", wrongDir("data folder %s has none of %s: put the file there, or set data.dir to the folder that holds it", dir, strings.Join(names, ", "))
}

// findPrefixed looks for the names of EMNIST: the set's before a file's, and test for t10k (emnist-letters-test-images-idx3-ubyte).
func findPrefixed(dir, stem string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unreadableFile("data folder", dir, err)
	}
	var found []string
	end := "-" + strings.Replace(stem, "t10k", "test", 1)
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".gz"); strings.HasSuffix(name, end) || strings.HasSuffix(name, "-"+stem) {
			found = append(found, entry.Name())
		}
	}
	return found, nil
}

// readWhole reads a file of at most maxFile bytes.
func readWhole(path string) ([]byte, error) { return readBounded("data file", path, maxFile) }

// readBounded reads a regular file of at most limit bytes, which messages call what.
func readBounded(what, path string, limit int64) ([]byte, error) {
	info, err := regularfile.Stat(path)
	if err != nil {
		return nil, unreadableFile(what, path, err)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s %s has %d bytes, more than the %d that are read", what, path, info.Size(), limit)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadableFile(what, path, err)
	}
	return raw, nil
}

// unreadableFile says why a file or folder cannot be read, without the system call.
func unreadableFile(what, path string, err error) error {
	var detailed *fs.PathError
	if errors.As(err, &detailed) {
		err = detailed.Err
	}
	var other *regularfile.Error
	if errors.As(err, &other) {
		return fmt.Errorf("%s %s cannot be read: %w; name one", what, path, err)
	}
	return fmt.Errorf("%s %s cannot be read: %w", what, path, err)
}

// numberNames are the names of classes that have none.
func numberNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}
