package shards

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"ringmaster/internal/dataset/merkle"
	"ringmaster/internal/objects"
)

// Options say how a packed set is read.
type Options struct {
	Memory     int64  // bytes of records that are kept in memory
	Cache      string // folder for what is read over HTTP or from an object store
	CacheBytes int64  // bound on what is in it
}

// Set is a packed set that is open for reading. Several goroutines may read.
type Set struct {
	Content json.RawMessage // what is packed, in the words of whoever packed it

	from   source
	parts  []*Part
	memory int64
	kept   atomic.Int64
}

// file is a shard, with what is known of it from the index.
type file struct {
	name  string
	root  merkle.Hash
	bytes int64
}

// source is where the files of a packed set are. Several goroutines may use it.
type source interface {
	// index reads the index file.
	index() ([]byte, error)
	// readAt fills p from a place of a shard. fresh means that what was read before is not good, so that nothing that is cached may serve.
	readAt(f *file, p []byte, at int64, fresh bool) error
	// near reports whether reading costs no more than from a disk.
	near() bool
	// String names it for people.
	String() string
}

// IsURL reports whether a place is one to be read over HTTP, or in an object store.
func IsURL(place string) bool {
	return strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") || objects.Is(place)
}

// Open opens the packed set in a folder or at a URL. Errors name the place and what is wrong.
func Open(place string, o Options) (*Set, error) {
	from := source(newFolder(place))
	if IsURL(place) {
		web, err := newWeb(place, o)
		if err != nil {
			return nil, err
		}
		from = web
	}
	return open(from, o)
}

func open(from source, o Options) (*Set, error) {
	text, err := from.index()
	if err != nil {
		return nil, fmt.Errorf("packed set %s: %w", from, err)
	}
	x, err := decodeIndex(text)
	if err != nil {
		return nil, fmt.Errorf("packed set %s: %s is damaged: %w: get it again, or pack again", from, IndexName, err)
	}
	s := &Set{Content: x.Content, from: from, memory: o.Memory}
	for _, l := range x.Parts {
		s.parts = append(s.parts, newPart(s, l))
	}
	return s, nil
}

// Part is the part of a name, nil where there is none.
func (s *Set) Part(name string) *Part {
	for _, p := range s.parts {
		if p.layout.Name == name {
			return p
		}
	}
	return nil
}

// Within makes reads that wait for a server end with a context, from now on.
func (s *Set) Within(ctx context.Context) {
	if w, is := s.from.(*web); is {
		w.life.Store(&ctx)
	}
}

// String names where the set is.
func (s *Set) String() string { return s.from.String() }

// Load reads all records into memory where they fit, and can be had at no more cost than from a disk. It reports whether they are there.
func (s *Set) Load() (bool, error) {
	total := int64(0)
	for _, p := range s.parts {
		for k := range p.layout.Shards {
			total += p.layout.Shards[k].Bytes
		}
	}
	if !s.from.near() || total > s.memory {
		return false, nil
	}
	for _, p := range s.parts {
		if err := p.load(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// load reads all blocks, on all CPUs. Where several cannot be read, the error is that of the first.
func (p *Part) load() error {
	var next atomic.Int64
	var running sync.WaitGroup
	failed := make([]error, p.layout.blocks(p.layout.Records))
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			var room []byte
			for b := int(next.Add(1)) - 1; b < len(failed); b = int(next.Add(1)) - 1 {
				if _, room, failed[b] = p.readBlock(b, room); failed[b] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}
