// Package nearby brings data from object stores to a folder of this machine, whole and once for all processes of it, and bounds what stays
// there.
//
//	FOLDER/objects/HASH/data/...   the objects of one place, under their names below it
//	FOLDER/objects/HASH/tags       a line for each object that is there whole, with the tag that it had
//	FOLDER/objects/HASH/used       locked by the processes that read, and touched by each
package nearby

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringmaster/internal/folderlock"
	"ringmaster/internal/objects"
	"ringmaster/internal/printable"
	"ringmaster/internal/wholefile"
)

const (
	maxObjects = 1 << 20
	patience   = time.Hour // for another process that fetches the same
	atOnce     = 8         // objects fetched at once
	dataName   = "data"
	tagsName   = "tags"
	usedName   = "used"
)

// Options say where objects are kept and how they are had.
type Options struct {
	Folder string // for what is kept between runs
	Bytes  int64  // bound on what is in it
	Store  objects.Options
}

// tagged is a line of the tags. The last one of a name counts; one without a name says that all objects of the place were there.
type tagged struct {
	Name  string `json:"name,omitempty"`
	Bytes int64  `json:"bytes"`
	Tag   string `json:"tag"`
}

// Fetch makes the objects of a place files of this machine and returns the folder, or the file where the place is a single object. What is
// there with the tag that the store says is not fetched again, so an interrupted Fetch goes on. wanted says by their names below the place which
// objects are needed; nil: all. Where the store does not answer, what was whole before serves. The files stay until this process ends.
func Fetch(ctx context.Context, place string, wanted func(name string) bool, o Options) (string, error) {
	from, err := objects.Open(place, o.Store)
	if err != nil {
		return "", err
	}
	// What a pattern leaves out must not be missing where all is asked for.
	sum := sha256.Sum256(fmt.Append(nil, from.Endpoint(), " ", from.Place, " ", wanted == nil))
	n := &near{o: o, from: from, all: filepath.Join(o.Folder, "objects"), root: filepath.Join(o.Folder, "objects", hex.EncodeToString(sum[:8]))}
	owner, err := folderlock.Own(n.root, patience)
	if err != nil {
		return "", fmt.Errorf("%s is kept in %s (data.cache): %w", from.Place, o.Folder, err)
	}
	defer func() { _ = owner.Release() }() // nothing was written through the lock's file
	if err := n.use(); err != nil {
		return "", err
	}
	if err := n.readTags(); err != nil {
		return "", err
	}
	list, err := n.list(ctx, wanted)
	if objects.Away(err) && n.complete {
		return n.result(), nil
	}
	if err == nil {
		err = n.fetch(ctx, list)
	}
	if err != nil {
		return "", err
	}
	return n.result(), nil
}

// near is one place on its way.
type near struct {
	o        Options
	from     *objects.Store
	all      string // where all places are kept
	root     string
	have     map[string]tagged
	complete bool
	one      string // the object's name, where the place is a single one

	mu   sync.Mutex // held while a tag is written
	tags *os.File
}

func (n *near) result() string {
	if n.one != "" {
		return filepath.Join(n.root, dataName, n.one)
	}
	return filepath.Join(n.root, dataName)
}

// use says that this process reads the place, until it ends.
func (n *near) use() error {
	f, err := os.OpenFile(filepath.Join(n.root, usedName), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
	}
	if err != nil {
		return fmt.Errorf("the cache %s cannot be written (%w): set data.cache to a folder that can", n.o.Folder, err)
	}
	now := time.Now()
	_ = os.Chtimes(f.Name(), now, now) // only the order of removal depends on it
	inUse.Store(n.root, f)
	return nil
}

// inUse holds the open files whose locks say what this process reads.
var inUse sync.Map

// readTags reads what is there whole.
func (n *near) readTags() error {
	n.have = map[string]tagged{}
	f, err := os.Open(filepath.Join(n.root, tagsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var t tagged
		if json.Unmarshal(lines.Bytes(), &t) != nil {
			continue // a crash cut it
		}
		if t.Name == "" {
			n.complete, n.one = true, t.Tag
			continue
		}
		n.complete = false
		n.have[t.Name] = t
	}
	return nil
}

// list asks the store for the objects of the place.
func (n *near) list(ctx context.Context, wanted func(string) bool) ([]objects.Info, error) {
	var list []objects.Info
	total := int64(0)
	err := n.from.List(ctx, func(i objects.Info) error {
		switch {
		case !filepath.IsLocal(filepath.FromSlash(i.Name)) || path.Clean(i.Name) != i.Name:
			return fmt.Errorf("%s holds an object %s, whose name is none of a file", n.from.Place, printable.Typed(i.Name))
		case wanted != nil && !wanted(i.Name):
			return nil
		case len(list) == maxObjects:
			return fmt.Errorf("%s holds more than %d objects", n.from.Place, maxObjects)
		}
		list = append(list, i)
		total += i.Bytes
		return nil
	})
	if err == nil && len(list) == 0 && wanted == nil {
		list, err = n.single(ctx)
		if err == nil {
			total = list[0].Bytes
		}
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("there are no such objects in %s", n.from.Place)
	}
	if err == nil && total > n.o.Bytes {
		err = fmt.Errorf("%s has %s, and data.cache_mib allows %s: raise it, or pack the data (ringmaster data pack), of which each worker fetches what its seats need",
			n.from.Place, printable.Bytes(uint64(total)), printable.Bytes(uint64(n.o.Bytes)))
	}
	return list, err
}

// single is the object that has the place's own name.
func (n *near) single(ctx context.Context) ([]objects.Info, error) {
	parent, name := path.Split(n.from.Place.Prefix)
	if name == "" {
		return nil, fmt.Errorf("there are no objects in %s", n.from.Place)
	}
	above := *n.from
	above.Place.Prefix = strings.TrimSuffix(parent, "/")
	info, err := above.Head(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no object %s, and none below it: %w", n.from.Place, fs.ErrNotExist)
	}
	n.from, n.one = &above, name
	return []objects.Info{info}, err
}

// fetch gets what is missing, and removes what the store has no more.
func (n *near) fetch(ctx context.Context, list []objects.Info) (err error) {
	missing, keep := []objects.Info(nil), map[string]bool{}
	room := int64(0)
	for _, i := range list {
		keep[i.Name] = true
		info, gone := os.Stat(n.file(i.Name))
		if have := n.have[i.Name]; gone != nil || have.Tag != i.Tag || have.Bytes != i.Bytes || info.Size() != i.Bytes {
			missing = append(missing, i)
			room += i.Bytes
		}
	}
	if len(missing) == 0 && n.complete && len(keep) == len(n.have) {
		return nil
	}
	if err := n.makeRoom(room); err != nil {
		return err
	}
	for name := range n.have {
		if !keep[name] {
			if err := os.Remove(n.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if n.tags, err = os.OpenFile(filepath.Join(n.root, tagsName), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.tags.Close()) }()
	if err := n.get(ctx, missing); err != nil {
		return err
	}
	return n.note(tagged{Tag: n.one})
}

func (n *near) file(name string) string {
	return filepath.Join(n.root, dataName, filepath.FromSlash(name))
}

// get fetches objects, several at once. The error is one of them.
func (n *near) get(ctx context.Context, missing []objects.Info) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan objects.Info)
	var running sync.WaitGroup
	for range min(atOnce, len(missing)) {
		running.Go(func() {
			for i := range queue {
				if err := n.getOne(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, i := range missing {
		if ctx.Err() != nil {
			break
		}
		queue <- i
	}
	close(queue)
	running.Wait()
	return context.Cause(ctx)
}

func (n *near) getOne(ctx context.Context, i objects.Info) error {
	if err := os.MkdirAll(filepath.Dir(n.file(i.Name)), 0o700); err != nil {
		return err
	}
	err := wholefile.Write(n.file(i.Name), 0o600, func(w io.Writer) error { return n.from.Fetch(ctx, i, w) })
	if err != nil {
		return err
	}
	return n.note(tagged{i.Name, i.Bytes, i.Tag})
}

// note writes a tag.
func (n *near) note(t tagged) error {
	line, err := json.Marshal(t)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err = n.tags.Write(append(line, '\n'))
	return err
}

// kept is a place that is in the cache.
type kept struct {
	root  string
	bytes int64
	used  time.Time
}

// makeRoom removes the places that were used least recently and that no process reads, until bytes more fit.
func (n *near) makeRoom(bytes int64) error {
	var places []kept
	total := bytes
	entries, err := os.ReadDir(n.all)
	if err != nil {
		return err
	}
	for _, e := range entries {
		k := measure(filepath.Join(n.all, e.Name()))
		total += k.bytes
		if k.root != n.root {
			places = append(places, k)
		}
	}
	slices.SortFunc(places, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range places {
		if total <= n.o.Bytes {
			return nil
		}
		if remove(k.root) {
			total -= k.bytes
		}
	}
	if total > n.o.Bytes {
		return fmt.Errorf("%s does not fit into the cache %s: with what is in use there are %s, and data.cache_mib allows %s; raise it",
			n.from.Place, n.o.Folder, printable.Bytes(uint64(total)), printable.Bytes(uint64(n.o.Bytes)))
	}
	return nil
}

func measure(root string) kept {
	k := kept{root: root}
	_ = filepath.WalkDir(filepath.Join(root, dataName), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what another process removes meanwhile is not there
		}
		if info, err := d.Info(); err == nil {
			k.bytes += info.Size()
		}
		return nil
	})
	if info, err := os.Stat(filepath.Join(root, usedName)); err == nil {
		k.used = info.ModTime()
	}
	return k
}

// remove removes a place, unless a process reads it.
func remove(root string) bool {
	f, err := os.OpenFile(filepath.Join(root, usedName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	// The tags go first: what a crash leaves is fetched again.
	if err := os.Remove(filepath.Join(root, tagsName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return os.RemoveAll(filepath.Join(root, dataName)) == nil
}
