package dataset

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/table"
)

// imageColumn is where the pictures of rows are: in files that a column names, or in the table itself.
type imageColumn struct {
	at     int          // the column
	path   int          // of Parquet: the column of paths beside the bytes; -1: none
	root   string       // what paths are relative to
	loader table.Loader // of pictures in the table
	base64 bool         // texts are the pictures themselves
	spool  *table.Spool // of those
}

// spooledPicture is a picture that a table has as text.
type spooledPicture struct {
	column *imageColumn
	at     table.Place
	where  string
}

func (p spooledPicture) place() string          { return p.where }
func (p spooledPicture) bytes() ([]byte, error) { return p.column.spool.Load(p.at) }

// placedPicture is a picture within a table.
type placedPicture struct {
	column *imageColumn
	at     table.Place
}

func (p placedPicture) place() string { return p.column.loader.Where(p.at) }

func (p placedPicture) bytes() ([]byte, error) {
	if p.at.Size > maxImageFile {
		return nil, p.large(int(p.at.Size))
	}
	raw, err := p.column.loader.Load(p.at)
	if err != nil {
		return nil, fmt.Errorf("image %w", err)
	}
	if len(raw) > maxImageFile {
		return nil, p.large(len(raw))
	}
	return raw, nil
}

func (p placedPicture) large(size int) error {
	return fmt.Errorf("image %s has %d bytes, more than the %d that are read", p.place(), size, maxImageFile)
}

// listedPicture is a picture in a file that a table names.
type listedPicture struct {
	column *imageColumn
	path   string // relative to the root
}

func (p listedPicture) place() string {
	if filepath.IsAbs(p.path) {
		return p.path
	}
	return filepath.Join(p.column.root, p.path)
}

func (p listedPicture) bytes() ([]byte, error) { return readBounded("image", p.place(), maxImageFile) }

// findImages finds the column of pictures.
func (r *rows) findImages(c config.Data, key string, set *fileSet, format table.Format, names []string, spool *table.Spool) error {
	if c.Image == "" {
		return nil
	}
	at := slices.Index(names, c.Image)
	if at < 0 && format == table.Tar {
		return config.KeyErrorf("data.image", "the first sample of %s has no file that ends in %s; it has %s", r.name, strings.ReplaceAll(c.Image, ";", ", "), listed(names))
	}
	if at < 0 {
		return config.KeyErrorf("data.image", "%w", noColumn(r.name, c.Image, "", names))
	}
	r.images = &imageColumn{at: at, path: slices.Index(names, c.Image+".path"), root: c.Dir, spool: spool,
		base64: c.ImageText == config.ImageBase64}
	if c.Dir == "" {
		r.images.root = filepath.Dir(set.files[0])
	}
	if format != table.Tar && format != table.Parquet {
		return nil
	}
	var err error
	if r.images.loader, err = table.NewLoader(set.files, format, c.Image, spool); err != nil {
		return config.KeyErrorf(key, "%w", err)
	}
	return nil
}

// addPicture takes the picture of a row.
func (r *rows) addPicture(t table.Reader, row []table.Value) error {
	v := &row[r.images.at]
	if v.Kind == table.Missing && r.images.path >= 0 && row[r.images.path].Kind != table.Missing {
		v = &row[r.images.path]
	}
	switch v.Kind {
	case table.Placed:
		r.pictures = append(r.pictures, placedPicture{r.images, v.At})
		return nil
	case table.Missing:
		return fmt.Errorf("%s: the picture is missing; add it, or leave the row out", t.Where(r.images.at))
	case table.Text:
		path, err := v.Word()
		if encoded, is := r.images.encoded(path); err == nil && is {
			return r.addEncoded(encoded, t.Where(r.images.at))
		}
		if err != nil || path == "" || strings.ContainsRune(path, 0) {
			return fmt.Errorf("%s: %s names no file", t.Where(r.images.at), printable.Typed(path))
		}
		r.pictures = append(r.pictures, listedPicture{r.images, filepath.FromSlash(strings.Clone(path))})
		return nil
	}
	return fmt.Errorf("%s: %v is neither a picture nor the name of its file", t.Where(r.images.at), v.Kind)
}

// encoded is the base64 of a picture that is written as text: where the job says so, or behind "data:image/...;base64,", as in a data URI.
func (c *imageColumn) encoded(text string) (string, bool) {
	if rest, is := strings.CutPrefix(text, "data:image/"); is {
		if _, encoded, is := strings.Cut(rest, ";base64,"); is {
			return encoded, true
		}
	}
	return text, c.base64
}

// addEncoded takes a picture that is written in base64, padded or not.
func (r *rows) addEncoded(text, where string) error {
	if len(text) > base64.StdEncoding.EncodedLen(maxImageFile) {
		return fmt.Errorf("%s: a picture of %d characters, more than the %d bytes that are read", where, len(text), maxImageFile)
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(raw) == 0 {
		return fmt.Errorf("%s: %s is no picture in base64 (data.image_text)", where, printable.Typed(printable.Short(text, maxList)))
	}
	at, err := r.images.spool.Add(raw)
	r.pictures = append(r.pictures, spooledPicture{r.images, at, where})
	return err
}

// galleries are the readers of the rows of each part with their pictures, or of the rows alone where they have none, and those galleries whose pictures are read first when
// data are opened: that of the test part waits until it is asked for.
func (d *Data) galleries(c config.Data, rows ...*rows) (readers [partCount]Reader, first []*gallery, err error) {
	train := rows[forTraining]
	if train.images == nil {
		for k, r := range rows {
			if r != nil {
				readers[k] = r
			}
		}
		return readers, nil, nil
	}
	if train.schema.Find(pixelsField) >= 0 {
		return readers, nil, config.KeyErrorf("data.features", "a column %s beside the pictures, whose field has that name; rename it", pixelsField)
	}
	fit := fitOf(c)
	size, err := oneSize(train.pictures[0], fit)
	if err != nil {
		return readers, nil, err
	}
	room := &keeping{limit: int64(c.MemoryMiB) << 20}
	d.pixels = colourPixels(c, size)
	for k, r := range rows {
		if r == nil {
			continue
		}
		g := newGallery(r.name, r.pictures, size, r, room)
		g.fit, readers[k] = fit, g
		if part(k) != forTest {
			first = append(first, g)
		}
	}
	return readers, first, nil
}
