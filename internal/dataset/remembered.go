package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"ringmaster/internal/config"
)

// leafMemory remembers the leaves of picture files between runs, so that a folder need not be decoded again for its fingerprint. A file is the
// same if its path, size, times of change, inode and device are, as git sees it; what has changed just before it is read is not remembered, since it
// might change again without another time. The memory of a folder is a file in the cache:
//
//	"RMLEAVES" | for each picture: the first 16 bytes of SHA-256 over what tells it, its leaf | SHA-256 of all before
type leafMemory struct {
	file   string
	before time.Time // what changed later is not remembered
	known  map[identity]hash256
	noted  []byte // what is remembered from now on
	missed bool   // something was not known
}

type identity [16]byte

const (
	leavesMagic  = "RMLEAVES"
	leafEntry    = len(identity{}) + sha256.Size
	maxLeaves    = 1 << 20         // of one folder
	maxMemories  = 32              // files
	justChanged  = 2 * time.Second // coarser than the clocks of file systems
	pictureCodes = 3               // of the code that decodes and scales; raised when it makes other pixels
)

// rememberFrom is how many pictures are worth it.
var rememberFrom = 1000

// recallLeaves reads what is remembered of a folder's pictures. It is nil where there are few, and where nothing can be remembered. What is
// damaged is not used, and the data have a line that says so.
func (d *Data) recallLeaves(c config.Data, n int, size image.Point) *leafMemory {
	folder, err := CacheFolder(c)
	dir, absolute := filepath.Abs(c.Dir)
	if n < rememberFrom || err != nil || absolute != nil || !isFolder(c.Dir) {
		return nil
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "golang.org/x/image" {
				version = m.Version
			}
		}
	}
	about := sha256.Sum256(fmt.Appendf(nil, "%q %v %v %d %s %q %s %d", dir, size, c.Resize, c.CenterCrop, c.Filter, runtime.Version(), version, pictureCodes))
	m := &leafMemory{file: filepath.Join(folder, "leaves", hex.EncodeToString(about[:16])), before: time.Now().Add(-justChanged), missed: true}
	if c.Recheck {
		return m
	}
	raw, err := readBounded("memory", m.file, int64(len(leavesMagic)+maxLeaves*leafEntry+sha256.Size))
	if err == nil {
		m.known, err = decodeLeaves(raw)
		m.missed = err != nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Warnings = append(d.Warnings, fmt.Sprintf("what was remembered of %s is not used (%s: %v): all pictures are decoded", c.Dir, m.file, err))
	}
	return m
}

// decodeLeaves reads a memory.
func decodeLeaves(raw []byte) (map[identity]hash256, error) {
	end := len(raw) - sha256.Size
	if end < len(leavesMagic) || !bytes.HasPrefix(raw, []byte(leavesMagic)) || (end-len(leavesMagic))%leafEntry != 0 {
		return nil, errors.New("it is damaged")
	}
	if sum := sha256.Sum256(raw[:end]); !bytes.Equal(sum[:], raw[end:]) {
		return nil, errors.New("it is damaged")
	}
	entries := raw[len(leavesMagic):end]
	known := make(map[identity]hash256, len(entries)/leafEntry)
	for ; len(entries) > 0; entries = entries[leafEntry:] {
		known[identity(entries)] = hash256(entries[len(identity{}):leafEntry])
	}
	return known, nil
}

// identify tells a picture's file, with its label, from what it was and from all others. It reports whether that can be remembered.
func (m *leafMemory) identify(path string, label int) (identity, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	changed := changeTime(s)
	if info.ModTime().After(m.before) || changed.After(m.before) {
		return identity{}, false
	}
	text := append(make([]byte, 0, 256), path...)
	for _, n := range []int64{int64(label), info.Size(), info.ModTime().UnixNano(), changed.UnixNano(), int64(s.Ino), int64(s.Dev)} {
		text = binary.LittleEndian.AppendUint64(text, uint64(n))
	}
	sum := sha256.Sum256(text)
	return identity(sum[:]), true
}

// note remembers a leaf.
func (m *leafMemory) note(id identity, leaf hash256) {
	if len(m.noted) < maxLeaves*leafEntry {
		m.noted = append(append(m.noted, id[:]...), leaf[:]...)
	}
}

// save writes what is remembered, unless it stands there already. Several processes may: the last one's stays. Where it cannot be
// written nothing is remembered, and the line says why.
func (m *leafMemory) save() (warning string) {
	if !m.missed {
		return ""
	}
	folder := filepath.Dir(m.file)
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		forgetOldest(folder)
		text := append([]byte(leavesMagic), m.noted...)
		sum := sha256.Sum256(text)
		err = replaceFile(m.file, append(text, sum[:]...))
	}
	if err != nil {
		return fmt.Sprintf("the fingerprint cannot be remembered for the next run: %v", err)
	}
	return ""
}

// replaceFile writes a file under another name first.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// forgetOldest leaves room for one more memory in a folder.
func forgetOldest(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) < maxMemories {
		return
	}
	when := func(e fs.DirEntry) time.Time {
		if info, err := e.Info(); err == nil {
			return info.ModTime()
		}
		return time.Time{} // another process has removed it
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return when(a).Compare(when(b)) })
	for _, e := range entries[:len(entries)-maxMemories+1] {
		_ = os.Remove(filepath.Join(folder, e.Name()))
	}
}

// remember makes a gallery of files take leaves from a memory, and note them there.
func (g *gallery) remember(m *leafMemory, files []labelled) {
	ids, sure := make([]identity, len(files)), make([]bool, len(files))
	g.recall = func(i int) (leaf hash256, known bool) {
		if ids[i], sure[i] = m.identify(files[i].where, files[i].label); sure[i] {
			leaf, known = m.known[ids[i]]
		}
		return leaf, known
	}
	told := g.told
	g.told = func(i int, leaf hash256) {
		told(i, leaf)
		if !sure[i] || g.notes[i] != "" { // what is odd about it must be said again
			return
		}
		m.note(ids[i], leaf)
		_, known := m.known[ids[i]]
		m.missed = m.missed || !known
	}
}
