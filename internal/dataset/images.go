package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// Bounds on decoded images.
const (
	maxImageEdge = 1 << 12 // pixels of a side
	maxClasses   = 1 << 16
)

const channels = 3 // red, green, blue

// openImages reads images laid out as train/CLASS/*.jpg and test/CLASS/*.jpg, or val/. All must have one size; inputs are
// [3 rows columns]. Labels number the classes in the order of those of a model, else as the configuration lists them, else sorted. Without a
// folder test there is no evaluation set. Decoders of WebP, TIFF and GIF may differ between releases of Go;
// the fingerprint covers what they make of the files, so workers that disagree are detected.
func openImages(c config.Data, labels []string) (*Data, error) {
	found, err := partsOfImages(c, labels)
	if err != nil {
		return nil, err
	}
	train, eval, fit := found.files[forTraining], found.files[forEvaluation], fitOf(c)
	size, err := oneSize(&train[0], fit)
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: found.classes, pixels: colourPixels(c, size)}
	room := &keeping{limit: int64(c.MemoryMiB) << 20}
	memory := d.recallLeaves(c, len(train)+len(eval), size)
	var readers [partCount]Reader
	var first []*gallery
	for k, files := range found.files {
		if len(files) == 0 {
			continue
		}
		g := newFolderGallery(d, labelOf(len(found.classes), found.classes), files, size, room)
		if g.fit, readers[k] = fit, g; part(k) == forTest {
			g.told = nil // it is not part of the fingerprint
			continue
		}
		if first = append(first, g); memory != nil {
			g.remember(memory, files)
		}
	}
	if err := d.sets(readers[forTraining], readers[forEvaluation], d.pixels.transforms()...); err != nil {
		return nil, err
	}
	for _, g := range first {
		g.opened(d)
	}
	if memory != nil {
		if warning := memory.save(); warning != "" {
			d.Warnings = append(d.Warnings, warning)
		}
	}
	d.LeftOut, d.Read = found.left, found.words(c)
	return d, d.hold(readers[forTest], d.pixels.transforms()...)
}

// foundImages are the images of a folder, or an archive, for each part.
type foundImages struct {
	files   [partCount][]labelled
	classes []string
	all     int    // there are, of any class
	left    string // what was left out
}

// partsOfImages finds the images that the configuration takes.
func partsOfImages(c config.Data, labels []string) (*foundImages, error) {
	files, left, err := findImages(c)
	if err != nil {
		return nil, err
	}
	classes, err := classesOf(files, c, labels)
	if err != nil {
		return nil, err
	}
	if c.Split != (config.Split{}) {
		if err := splitImages(files, c, classes.names); err != nil {
			return nil, err
		}
	}
	f := &foundImages{classes: classes.names, all: len(files)}
	bad := skipped{}
	for k, name := range [partCount]string{trainPart, testPart, heldPart} {
		if f.files[k], err = pick(files, name, classes, [partCount]int{c.TrainPerClass, c.EvalPerClass}[k], c); err != nil {
			return nil, err
		}
		if part(k) == forTest { // which may never be read
			break
		}
		if f.files[k], err = siftFiles(f.files[k], c, fitOf(c), &bad); err != nil {
			return nil, err
		}
	}
	if f.left = left.String(); bad.count > 0 {
		f.left = strings.TrimSuffix(bad.String()+", "+f.left, ", ")
	}
	return f, nil
}

// words says what was found.
func (f *foundImages) words(c config.Data) string {
	train, eval, test := len(f.files[forTraining]), len(f.files[forEvaluation]), len(f.files[forTest])
	words := fmt.Sprintf("%s for training and %d for evaluation, ", plural.Of(train, "image"), eval)
	if test > 0 {
		words += fmt.Sprintf("and %d for test, ", test)
	}
	words += fmt.Sprintf("of %s, in %s%s", plural.Of(len(f.classes), "class"), c.Dir, chosen(train+eval+test, f.all))
	if c.Split != (config.Split{}) {
		words += ", " + splitWords(c)
	}
	return words
}

// splitImages divides the training images of the classes, by moving some to the other parts.
func splitImages(files []imageFile, c config.Data, classes []string) error {
	var of []*imageFile
	l := &lot{}
	sorted := slices.Sorted(slices.Values(classes))
	for i := range files {
		if class, is := slices.BinarySearch(sorted, files[i].class); is && files[i].part == trainPart {
			of = append(of, &files[i])
			l.classes = append(l.classes, int32(class))
		}
	}
	l.n = len(of)
	l.content = func(i int) (hash256, error) { return of[i].content(c.Split.Seed) }
	if c.Split.By == config.SplitGroup {
		var err error
		if l.groups, err = groupsOf(of, c.Group); err != nil {
			return err
		}
	}
	parts, err := l.divide(c.Split)
	if err != nil {
		return err
	}
	for i, p := range parts {
		of[i].part = [partCount]string{trainPart, testPart, heldPart}[p]
	}
	return l.check(c.Split, parts, plural.Of(l.n, "image")+" in "+c.Dir)
}

// content hashes what a file holds, as the same picture in a table with its class is hashed.
func (f *imageFile) content(seed uint64) (hash256, error) {
	raw, err := f.load()
	picture := sha256.Sum256(raw)
	text := appendWord(binary.LittleEndian.AppendUint64(nil, seed), f.class)
	return sha256.Sum256(append(text, picture[:]...)), err
}

// groupsOf are the groups of files, numbered in the order of their names: what an expression finds in a file's path, or its first group there.
func groupsOf(files []*imageFile, expression string) ([]int32, error) {
	finds := regexp.MustCompile(expression) // which the configuration has checked
	found := make([]string, len(files))
	for i, f := range files {
		match := finds.FindStringSubmatch(path.Join(f.class, f.name))
		if match == nil {
			return nil, config.KeyErrorf("data.group", "image %s: %s finds no group in %s", f.where, printable.Typed(expression), printable.Typed(path.Join(f.class, f.name)))
		}
		found[i] = match[min(1, len(match)-1)]
	}
	names := slices.Compact(slices.Sorted(slices.Values(found)))
	groups := make([]int32, len(found))
	for i, name := range found {
		k, _ := slices.BinarySearch(names, name)
		groups[i] = int32(k)
	}
	return groups, nil
}

// chosen says of how many images the configuration chose some.
func chosen(taken, found int) string {
	if taken == found {
		return ""
	}
	return fmt.Sprintf(" (of %d found, by data.classes, data.train_per_class and data.eval_per_class)", found)
}

// colourPixels is the transform of images of a size with the configured means and deviations.
func colourPixels(c config.Data, size image.Point) *pixels {
	p := &pixels{shape: []int{channels, size.Y, size.X}, plane: size.X * size.Y, columns: size.X, crop: c.Crop, flip: c.Flip, entries: c.Augment, fit: fitOf(c)}
	for i := range channels {
		p.scales = append(p.scales, standardScale(c.Mean[i], c.Std[i]))
	}
	return p
}

// classList is the classes that images are labelled by, and what helps, other than images, where one of them has none.
type classList struct {
	names  []string
	key    string // of the job file, that the remedy changes; may be empty
	remedy string
}

func (l *classList) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if l.key != "" {
		err = &config.KeyError{Key: l.key, Err: err}
	}
	return err
}

// classesOf is the list of classes: those of a model, or as configured, or all that have training images, sorted. A class with test
// images alone is an error then: a model cannot learn it, and an evaluation without it would tell of another task.
func classesOf(files []imageFile, c config.Data, labels []string) (*classList, error) {
	found, tested := classesIn(files, trainPart), append(classesIn(files, testPart), classesIn(files, heldPart)...)
	list := &classList{found, "", "list in data.classes what is to be learnt"}
	switch {
	case len(labels) > 0:
		list = &classList{labels, "data.dir", "set data.dir to data that have all the classes of the model"}
	case len(c.Classes) > 0:
		list = &classList{slices.Clone(c.Classes), "data.classes", "correct data.classes"}
	}
	for _, class := range list.names {
		if !slices.Contains(found, class) {
			return nil, list.errorf("images: %s has no training images of class %q, only of %s: put some there, or %s",
				c.Dir, class, printable.Short(strings.Join(found, ", "), maxList), list.remedy)
		}
	}
	if len(labels) > 0 || len(c.Classes) > 0 {
		return list, nil
	}
	if len(found) < 2 || len(found) > maxClasses {
		return nil, fmt.Errorf("images: %s has training images of %s (%s); a classifier needs 2 to %d: put a folder for each into %s",
			c.Dir, plural.Of(len(found), "class"), printable.Short(strings.Join(found, ", "), maxList), maxClasses, trainPart)
	}
	// Checkpoints hold the names as text, which would make another name of this one.
	if k := slices.IndexFunc(found, func(class string) bool { return !utf8.ValidString(class) }); k >= 0 {
		return nil, fmt.Errorf("images: %s has a class in %s whose name is not UTF-8, %q: rename its folder", c.Dir, trainPart, found[k])
	}
	for _, class := range tested {
		if !slices.Contains(found, class) {
			return nil, list.errorf("images: %s has class %q in %s, but no images of it in %s: put some there, remove it, or %s",
				c.Dir, class, testPart, trainPart, list.remedy)
		}
	}
	return list, nil
}

// classesIn lists the classes that have images in a part, sorted.
func classesIn(files []imageFile, part string) []string {
	var found []string
	for _, f := range files {
		if f.part == part && (len(found) == 0 || found[len(found)-1] != f.class) {
			found = append(found, f.class)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// maxList is how many bytes of a list of names a message shows.
const maxList = 200

// perClassKeys are the keys that say how many images of each class are taken of a part.
var perClassKeys = map[string]string{trainPart: "data.train_per_class", testPart: "data.eval_per_class"}

// labelled is an image file of a known class.
type labelled struct {
	imageFile
	label int
}

// pick chooses the images of a part, class by class in the order of the labels: the first perClass of each by name, or
// all for 0. A part without any image is empty; a class without is an error.
func pick(files []imageFile, part string, classes *classList, perClass int, c config.Data) ([]labelled, error) {
	byClass := map[string][]imageFile{}
	for _, f := range files {
		if f.part == part {
			byClass[f.class] = append(byClass[f.class], f)
		}
	}
	if len(byClass) == 0 {
		return nil, nil
	}
	var picked []labelled
	for label, class := range classes.names {
		have := byClass[class]
		if len(have) == 0 && (part == heldPart || part == testPart && c.Split != (config.Split{})) {
			continue // a split by chance, or by groups, may leave it none
		}
		if len(have) == 0 && part == trainPart && c.Split != (config.Split{}) {
			return nil, config.KeyErrorf("data.split", "none of the images of class %q in %s is for training; change the share, the seed or the kind of the split", class, c.Dir)
		}
		if len(have) == 0 {
			return nil, classes.errorf("images: %s has no images of class %q in %s: put some there, or %s", c.Dir, class, part, classes.remedy)
		}
		if len(have) < perClass {
			return nil, config.KeyErrorf(perClassKeys[part], "%s has fewer images than %d, %d, in %s/%s: lower it", c.Dir, perClass, len(have), part, class)
		}
		if perClass > 0 {
			have = have[:perClass]
		}
		for _, f := range have {
			picked = append(picked, labelled{f, label})
		}
	}
	return picked, nil
}

// fitOf is how images are brought to one size; nil where all must have it.
func fitOf(c config.Data) *picture.Fit {
	fit := &picture.Fit{Crop: c.CenterCrop, Nearest: c.Filter == config.FilterNearest}
	switch len(c.Resize) {
	case 0:
		return nil
	case 1:
		fit.Edge = c.Resize[0]
	default:
		fit.Size = image.Pt(c.Resize[1], c.Resize[0])
	}
	return fit
}

// oneSize is the size of all images: what they are brought to, or that of the first.
func oneSize(first source, fit *picture.Fit) (image.Point, error) {
	if fit != nil {
		return fit.Out(), nil
	}
	raw, err := first.bytes()
	if err != nil {
		return image.Point{}, err
	}
	return sizeOf(first, raw)
}

// sizeOf is the size of an image, from its header: what a decoder would allocate is known before it does.
func sizeOf(f source, raw []byte) (image.Point, error) {
	size, err := picture.Size(raw)
	if err != nil {
		return image.Point{}, fmt.Errorf("image %s %w: get it again, or remove it", f.place(), err)
	}
	if size.X < 1 || size.Y < 1 || size.X > maxImageEdge || size.Y > maxImageEdge {
		return image.Point{}, fmt.Errorf("image %s: %d x %d pixels; sides have 1 to %d: scale it, or remove it", f.place(), size.X, size.Y, maxImageEdge)
	}
	return size, nil
}

// noteImages adds a line for each kind of oddity that images have, with how many have it and the first of them.
func (d *Data) noteImages(files []source, notes []string) {
	count, first, kinds := map[string]int{}, map[string]string{}, []string(nil)
	for i, note := range notes {
		if note == "" {
			continue
		}
		if count[note]++; count[note] == 1 {
			kinds, first[note] = append(kinds, note), files[i].place()
		}
	}
	for _, note := range kinds {
		line := fmt.Sprintf("image %s %s", first[note], note)
		if count[note] > 1 {
			line += fmt.Sprintf("; so do %d more", count[note]-1)
		}
		d.Warnings = append(d.Warnings, line)
	}
}

// decodeImage decodes an image of the given size, or of any that is brought to it, into three planes. The note says what is odd about it.
func decodeImage(dst []byte, f source, size image.Point, fit *picture.Fit) (note string, err error) {
	raw, err := f.bytes()
	if err != nil {
		return "", err
	}
	if fit != nil {
		if note, err = fitPicture(dst, raw, fit); err != nil {
			err = fmt.Errorf("image %s %w", f.place(), err)
		}
		return note, err
	}
	got, err := sizeOf(f, raw)
	if err != nil {
		return "", err
	}
	if got != size {
		return "", fmt.Errorf("image %s: %d x %d pixels, but the first image has %d x %d: all must have one size: set data.resize, or resize them", f.place(), got.X, got.Y, size.X, size.Y)
	}
	decoded, err := picture.Decode(raw)
	if err != nil {
		return "", fmt.Errorf("image %s %w: get it again, or remove it", f.place(), err)
	}
	if decoded.Size != size {
		return "", fmt.Errorf("image %s: decodes to another size than its header says: get it again, or remove it", f.place())
	}
	split(dst, decoded)
	return decoded.Note, nil
}

// fitPicture decodes a picture of any size and brings it to one. An error is in words that follow the file's name.
func fitPicture(dst, raw []byte, fit *picture.Fit) (note string, err error) {
	p, err := decodePhoto(raw, "get it again, or remove it")
	if err != nil {
		return "", err
	}
	return p.Note, fit.Planes(dst, p)
}

// decodePhoto decodes a picture that may be much larger than a sample. An error is in words that follow the file's name; do says what to do
// about a damaged file.
func decodePhoto(raw []byte, do string) (p *picture.Picture, err error) {
	size, err := picture.Size(raw)
	if err == nil {
		if size.X < 1 || size.Y < 1 || size.Y > maxPhotoPixels/size.X {
			return nil, fmt.Errorf("has %d x %d pixels; it may have %d in all: scale it down", size.X, size.Y, maxPhotoPixels)
		}
		p, err = picture.Decode(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, do)
	}
	return p, nil
}

// split writes a picture as a plane of red, one of green and one of blue.
func split(dst []byte, p *picture.Picture) {
	plane, i := p.Size.X*p.Size.Y, 0
	for y := range p.Size.Y {
		for x := range p.Size.X {
			dst[i], dst[plane+i], dst[2*plane+i] = p.At(x, y)
			i++
		}
	}
}
