package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/objects"
)

const (
	cachePatience = 10 * time.Minute // for another process that brings a checkpoint to the same folder
	cacheKeep     = 24 * time.Hour   // for which a checkpoint that was brought stays beside newer ones
)

// Locate splits a place into the bucket and the one checkpoint that it names, if it names one: s3://BUCKET/PREFIX/step-0000000100-g1-....
func Locate(place string) (bucket string, one checkpoint.Name) {
	trimmed := strings.TrimRight(place, "/")
	above, last, _ := cutLast(trimmed)
	if name, ok := checkpoint.ParseName(last); ok && objects.Is(above+"/") {
		return above, name
	}
	return trimmed, checkpoint.Name{}
}

func cutLast(path string) (above, last string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// Local brings the checkpoint of a choice to this machine, below the folder for what is kept between runs, and returns its folder there. What
// was brought before and is whole serves again.
func (b *Bucket) Local(ctx context.Context, cache string, choice Choice, say func(line string)) (path string, m *checkpoint.Manifest, err error) {
	sum := sha256.Sum256([]byte(b.Endpoint() + " " + b.String()))
	folder := filepath.Join(cache, "checkpoints", hex.EncodeToString(sum[:8]))
	owner, err := folderlock.Own(folder, cachePatience)
	if err != nil {
		return "", nil, fmt.Errorf("%s is brought to this machine: %w", b, err)
	}
	defer func() { _ = owner.Release() }() // nothing was written through the lock's file
	store, err := checkpoint.Open(disk.OS{}, folder)
	if err != nil {
		return "", nil, err
	}
	if _, err := store.Clean(); err != nil {
		return "", nil, err
	}
	if m, err = b.Bring(ctx, store, choice, say); err != nil {
		return "", nil, err
	}
	path = filepath.Join(folder, m.Folder())
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrPermission) {
		return "", nil, err
	}
	return path, m, dropOld(store, folder, m.Name())
}

// dropOld removes what was brought long ago and is not used any more.
func dropOld(store *checkpoint.Store, folder string, used checkpoint.Name) error {
	names, err := store.Names()
	for _, n := range names {
		info, missing := os.Stat(filepath.Join(folder, n.Folder()))
		if n == used || missing != nil || time.Since(info.ModTime()) < cacheKeep {
			continue
		}
		if _, gone := store.Retire(n); gone != nil {
			err = errors.Join(err, gone)
		}
	}
	return err
}
