// Package bucket keeps copies of checkpoints in an object store, and brings them back.
//
//	s3://BUCKET/PREFIX/FOLDER/model-0-of-4.safetensors ...
//	s3://BUCKET/PREFIX/FOLDER/manifest.json    created last, deleted first
//
// A folder is a checkpoint if its manifest is there, as on a disk. Objects are created once and never replaced, so any number of
// coordinators may copy the same checkpoint.
package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/objects"
)

// Bucket is a place with copies of checkpoints.
type Bucket struct {
	at *objects.Store
}

// Open opens the place of copies. Nothing is asked of the store yet.
func Open(place string, o objects.Options) (*Bucket, error) {
	at, err := objects.Open(place, o)
	if err != nil {
		return nil, err
	}
	return &Bucket{at}, nil
}

// String is the place as it is written.
func (b *Bucket) String() string { return b.at.Place.String() }

// Endpoint is the address of the store's server.
func (b *Bucket) Endpoint() string { return b.at.Endpoint() }

// Push copies a checkpoint that is whole in a store on a disk, its manifest last. What is there already stays; after an interruption it goes
// on with the file at which it was.
func (b *Bucket) Push(ctx context.Context, from *checkpoint.Store, name checkpoint.Name) error {
	folder := name.Folder()
	m, text, err := manifest(from, folder)
	if err != nil {
		return err
	}
	there, err := b.at.Bytes(ctx, path(folder, checkpoint.ManifestName), checkpoint.MaxManifestBytes)
	switch {
	case err == nil && bytes.Equal(there, text):
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", b.at.Place.Join(path(folder, checkpoint.ManifestName)), objects.ErrOther)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, f := range m.Files {
		open := func() (io.ReadCloser, error) {
			r, _, err := from.OpenFile(folder, f.Name)
			return r, err
		}
		object := path(folder, f.Name)
		err := b.at.Put(ctx, object, f.Bytes, f.SHA256, open)
		if errors.Is(err, objects.ErrOther) { // damaged: there is no manifest yet that could have promised it to anybody
			if err = b.at.Delete(ctx, object); err == nil {
				err = b.at.Put(ctx, object, f.Bytes, f.SHA256, open)
			}
		}
		if err != nil {
			return err
		}
	}
	return b.at.Put(ctx, path(folder, checkpoint.ManifestName), int64(len(text)), sha256.Sum256(text), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	})
}

func path(folder, name string) string { return folder + "/" + name }

// manifest reads a checkpoint's manifest from a store on a disk.
func manifest(from *checkpoint.Store, folder string) (*checkpoint.Manifest, []byte, error) {
	r, _, err := from.OpenFile(folder, checkpoint.ManifestName)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, checkpoint.MaxManifestBytes+1))
	if err != nil {
		return nil, nil, err
	}
	m, err := checkpoint.ParseManifest(text)
	return m, text, err
}

// Held is a folder of the bucket.
type Held struct {
	checkpoint.Name
	Bytes int64 // of its objects
	Whole bool  // its manifest is there
}

// List is every folder of the bucket by step, generation and job.
func (b *Bucket) List(ctx context.Context) ([]Held, error) {
	by := map[string]*Held{}
	err := b.at.List(ctx, func(i objects.Info) error {
		folder, file, _ := strings.Cut(i.Name, "/")
		name, ok := checkpoint.ParseName(folder)
		if !ok || file == "" {
			return nil
		}
		if by[folder] == nil {
			by[folder] = &Held{Name: name}
		}
		by[folder].Bytes += i.Bytes
		by[folder].Whole = by[folder].Whole || file == checkpoint.ManifestName
		return nil
	})
	var all []Held
	for _, h := range by {
		all = append(all, *h)
	}
	slices.SortFunc(all, func(x, y Held) int { return checkpoint.CompareNames(x.Name, y.Name) })
	return all, err
}

// Manifest is that of a checkpoint. The error wraps fs.ErrNotExist where there is none.
func (b *Bucket) Manifest(ctx context.Context, name checkpoint.Name) (*checkpoint.Manifest, error) {
	object := path(name.Folder(), checkpoint.ManifestName)
	text, err := b.at.Bytes(ctx, object, checkpoint.MaxManifestBytes)
	if err != nil {
		return nil, err
	}
	m, err := checkpoint.ParseManifest(text)
	if err == nil && m.Folder() != name.Folder() {
		err = fmt.Errorf("it belongs to %s", m.Folder())
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", b.at.Place.Join(object), err)
	}
	return m, nil
}

// Pull brings a checkpoint to a store on a disk, its manifest last. Files that are there stay, unless they are damaged.
func (b *Bucket) Pull(ctx context.Context, m *checkpoint.Manifest, to *checkpoint.Store) error {
	err := b.pull(ctx, m, to)
	if errors.Is(err, checkpoint.ErrConflict) {
		if _, err = to.Retire(m.Name()); err == nil {
			err = b.pull(ctx, m, to)
		}
	}
	return err
}

func (b *Bucket) pull(ctx context.Context, m *checkpoint.Manifest, to *checkpoint.Store) error {
	for _, f := range m.Files {
		if has, err := to.HasFile(m.Folder(), f); err != nil {
			return err
		} else if has {
			continue
		}
		u, err := to.Begin(m.Folder(), f.Name, f.Bytes)
		if err != nil {
			return err
		}
		err = b.fetch(ctx, m, f, u)
		if err == nil {
			if wrong := u.Commit(f.SHA256); wrong != nil {
				err = fmt.Errorf("%s is damaged, or cannot be stored here: %w", b.at.Place.Join(path(m.Folder(), f.Name)), wrong)
			}
		}
		u.Abort()
		if err != nil {
			return err
		}
	}
	return to.Commit(m)
}

// fetch writes one file of a checkpoint.
func (b *Bucket) fetch(ctx context.Context, m *checkpoint.Manifest, f checkpoint.File, w io.Writer) error {
	object := path(m.Folder(), f.Name)
	info, err := b.at.Head(ctx, object)
	if err == nil && info.Bytes != f.Bytes {
		err = fmt.Errorf("%s is damaged: it has %d bytes, the manifest says %d", b.at.Place.Join(object), info.Bytes, f.Bytes)
	}
	if err != nil {
		return err
	}
	return b.at.Fetch(ctx, info, w)
}

// Verify reads all files of a checkpoint, and says which is not what the manifest says.
func (b *Bucket) Verify(ctx context.Context, m *checkpoint.Manifest) error {
	for _, f := range m.Files {
		h := sha256.New()
		if err := b.fetch(ctx, m, f, h); err != nil {
			return err
		}
		if checkpoint.Hash(h.Sum(nil)) != f.SHA256 {
			return fmt.Errorf("%s is damaged: its SHA-256 is not the manifest's", b.at.Place.Join(path(m.Folder(), f.Name)))
		}
	}
	return nil
}

// Retire deletes a checkpoint, its manifest first.
func (b *Bucket) Retire(ctx context.Context, name checkpoint.Name) error {
	if err := b.at.Delete(ctx, path(name.Folder(), checkpoint.ManifestName)); err != nil {
		return err
	}
	var rest []string
	below := b.at.At(name.Folder())
	err := below.List(ctx, func(i objects.Info) error { rest = append(rest, i.Name); return nil })
	for _, object := range rest {
		err = errors.Join(err, below.Delete(ctx, object))
	}
	return err
}
