package shards

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cache keeps chunks of shards as files, which several processes share: FOLDER/shards/ROOT/CHUNK, by the Merkle root of the shard. A chunk is written under
// another name first. What is read is checked against the root by whoever reads, so one that a crash or a disk has spoilt is fetched
// again. Where there are too many, those go that were used least recently.
type cache struct {
	folder string
	limit  int64

	mu    sync.Mutex
	added int64 // bytes since the last sweep
}

const (
	sweeps     = 16        // a process sweeps when it has added a sixteenth of the bound
	newPrefix  = ".new-"   // of chunks that are being written
	staleAfter = time.Hour // of such ones, left by a process that died

	touchAfter = 10 * time.Minute // a chunk that is used counts as new again
)

func newCache(folder string, limit int64) (*cache, error) {
	c := &cache{folder: filepath.Join(folder, "shards"), limit: limit}
	err := os.MkdirAll(c.folder, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(c.folder, newPrefix); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the cache %s cannot be written (%w): set data.cache to a folder that can", c.folder, cause(err))
	}
	c.added = limit // of earlier processes nothing is known yet
	return c, nil
}

func (c *cache) path(f *file, chunk int64) string {
	return filepath.Join(c.folder, hex.EncodeToString(f.root[:]), strconv.FormatInt(chunk, 10))
}

func (c *cache) has(f *file, chunk int64) bool {
	_, err := os.Lstat(c.path(f, chunk))
	return err == nil
}

// read copies to p, which begins at a place of the file, what a chunk has of it. It reports whether the chunk is there.
func (c *cache) read(f *file, chunk int64, p []byte, at int64) bool {
	r, err := os.Open(c.path(f, chunk))
	if err != nil {
		return false
	}
	defer r.Close()
	begin := chunk * chunkBytes
	from, to := max(begin, at), min(begin+chunkBytes, at+int64(len(p)))
	_, err = r.ReadAt(p[from-at:to-at], from-begin)
	if info, unknown := r.Stat(); err == nil && unknown == nil && time.Since(info.ModTime()) > touchAfter {
		now := time.Now()
		_ = os.Chtimes(r.Name(), now, now) // only the order of removal depends on it
	}
	return err == nil
}

// write keeps a chunk. Where that fails it is fetched again when it is needed, which costs time alone.
func (c *cache) write(f *file, chunk int64, content []byte) {
	c.makeRoom(int64(len(content)))
	name := c.path(f, chunk)
	if os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	w, err := os.CreateTemp(filepath.Dir(name), newPrefix)
	if err != nil {
		return
	}
	_, err = w.Write(content)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(w.Name(), name)
	}
	if err != nil {
		os.Remove(w.Name())
	}
}

// makeRoom counts bytes that are added, and sweeps from time to time.
func (c *cache) makeRoom(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.added += bytes; c.added > c.limit/sweeps {
		c.added = bytes
		c.sweep()
	}
}

type cached struct {
	path  string
	bytes int64
	when  time.Time
}

// sweep removes the chunks that were used least recently where there are more than fit with what is added until the next sweep.
func (c *cache) sweep() {
	var all []cached
	total := int64(0)
	_ = filepath.WalkDir(c.folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what another process removes meanwhile is not there
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case !strings.HasPrefix(d.Name(), newPrefix):
			all = append(all, cached{path, info.Size(), info.ModTime()})
			total += info.Size()
		case time.Since(info.ModTime()) > staleAfter:
			os.Remove(path)
		}
		return nil
	})
	if total <= c.limit-c.limit/sweeps {
		return
	}
	slices.SortFunc(all, func(a, b cached) int { return a.when.Compare(b.when) })
	for _, f := range all {
		if total <= c.limit-c.limit/4 {
			break
		}
		if os.Remove(f.path) == nil {
			os.Remove(filepath.Dir(f.path)) // if it is empty
		}
		total -= f.bytes
	}
}
