package shards

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"ringmaster/internal/objects"
	"ringmaster/internal/sleep"
)

// server gives bytes of files.
type server interface {
	// get asks for bytes from..to of a file, both included, into p; with to below 0 for the whole of it. A *statusError is final.
	get(ctx context.Context, name string, from, to int64, p []byte) ([]byte, error)
	// String names it for people. A password stays unsaid.
	String() string
}

// site is a packed set on an HTTP server.
type site struct {
	base   *url.URL
	client *http.Client
}

// web is a packed set on a server that answers requests for ranges of bytes. Files are read in pieces of chunkBytes, which are kept in
// the cache.
type web struct {
	from     server
	cache    *cache
	patience time.Duration // how long requests that fail are tried again
	opening  time.Duration // likewise, of the index
	life     atomic.Pointer[context.Context]
}

// context is within what requests are made.
func (w *web) context() context.Context {
	if ctx := w.life.Load(); ctx != nil {
		return *ctx
	}
	return context.Background()
}

const (
	chunkBytes = 64 << 10
	runChunks  = 64 // the most that one request asks for

	attempt  = time.Minute // that one request may take
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

func newWeb(place string, o Options) (*web, error) {
	from, err := newServer(strings.TrimSuffix(place, "/"+IndexName))
	if err != nil {
		return nil, err
	}
	c, err := newCache(o.Cache, o.CacheBytes)
	if err != nil {
		return nil, err
	}
	return &web{from: from, cache: c, patience: 5 * time.Minute, opening: 15 * time.Second}, nil
}

func newServer(place string) (server, error) {
	if objects.Is(place) {
		store, err := objects.Open(place, objects.Options{Patience: time.Millisecond}) // persist is patient
		return &bucket{store}, err
	}
	base, err := url.Parse(place)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("packed set %.200q: write its place as http://HOST/FOLDER", place)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 16, true
	return &site{base, &http.Client{Transport: transport}}, nil
}

// bucket is a packed set in an object store.
type bucket struct{ store *objects.Store }

// String implements server.
func (b *bucket) String() string { return b.store.Place.String() }

func (b *bucket) get(ctx context.Context, name string, from, to int64, p []byte) (got []byte, err error) {
	if to < 0 {
		got, err = b.store.Bytes(ctx, name, maxIndex)
	} else {
		got, err = p, b.store.Read(ctx, name, from, p)
	}
	if err != nil && !objects.Away(err) && ctx.Err() == nil {
		err = &statusError{err.Error()}
	}
	return got, err
}

// String implements source.
func (w *web) String() string { return w.from.String() }

// String implements server.
func (w *site) String() string { return w.base.Redacted() }

func (w *web) near() bool { return false }

// statusError is an answer of the server that another attempt will not change.
type statusError struct{ what string }

func (e *statusError) Error() string { return e.what }

func (w *web) index() (text []byte, err error) {
	err = w.persist(IndexName, w.opening, func(ctx context.Context) error {
		text, err = w.from.get(ctx, IndexName, 0, -1, nil)
		return err
	})
	return text, err
}

// persist asks for a file until it is there, or patience is over.
func (w *web) persist(name string, patience time.Duration, ask func(context.Context) error) error {
	pause, life := minPause, w.context()
	for began := time.Now(); ; pause = min(2*pause, maxPause) {
		ctx, cancel := context.WithTimeout(life, attempt)
		err := ask(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if life.Err() != nil {
			return fmt.Errorf("%s: %w", name, life.Err())
		}
		var final *statusError
		if detailed, ok := errors.AsType[*url.Error](err); ok {
			err = detailed.Err // without the address, which may have a password
		}
		if errors.As(err, &final) {
			return fmt.Errorf("%s: %w", name, err)
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%s cannot be had from the server since %.0f s: %w", name, time.Since(began).Seconds(), err)
		}
		sleep.For(life, pause)
	}
}

func (w *site) get(ctx context.Context, name string, from, to int64, p []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base.JoinPath(name).String(), nil)
	if err != nil {
		return nil, &statusError{err.Error()}
	}
	want := http.StatusOK
	if to >= 0 {
		want = http.StatusPartialContent
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch code := answer.StatusCode; {
	case code == want:
	case code == http.StatusOK:
		return nil, &statusError{"the server does not answer requests for ranges of bytes; use one that does (nginx, Apache, Caddy, an object store)"}
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return nil, fmt.Errorf("the server answers %s", answer.Status)
	default:
		return nil, &statusError{"the server answers " + answer.Status}
	}
	if to < 0 {
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxIndex+1))
		if err == nil && len(text) > maxIndex {
			err = &statusError{fmt.Sprintf("it has more than %d bytes", maxIndex)}
		}
		return text, err
	}
	if got, should := answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/", from, to); !strings.HasPrefix(got, should) {
		return nil, &statusError{fmt.Sprintf("asked for bytes %d to %d, the server sends %.80q: the file is another one than its index says", from, to, got)}
	}
	_, err = io.ReadFull(answer.Body, p)
	return p, err
}

// readAt implements source. Chunks that are not cached are fetched, neighbours together.
func (w *web) readAt(f *file, p []byte, at int64, fresh bool) error {
	end := at + int64(len(p))
	for c := at / chunkBytes; c*chunkBytes < end; {
		if !fresh && w.cache.read(f, c, p, at) {
			c++
			continue
		}
		last := c
		for last+1-c < runChunks && (last+1)*chunkBytes < end && (fresh || !w.cache.has(f, last+1)) {
			last++
		}
		if err := w.fetch(f, c, last, p, at); err != nil {
			return err
		}
		c = last + 1
	}
	return nil
}

// fetch gets chunks first..last of a shard, both included, and copies of them what p, which begins at a place of the file, should have.
func (w *web) fetch(f *file, first, last int64, p []byte, at int64) error {
	from, to := first*chunkBytes, min((last+1)*chunkBytes, f.bytes)
	room := make([]byte, to-from)
	err := w.persist(f.name, w.patience, func(ctx context.Context) error {
		_, err := w.from.get(ctx, f.name, from, to-1, room)
		return err
	})
	if err != nil {
		return err
	}
	for c := first; c <= last; c++ {
		chunk := room[(c-first)*chunkBytes:]
		w.cache.write(f, c, chunk[:min(len(chunk), chunkBytes)])
	}
	overlap(p, at, room, from)
	return nil
}

// overlap copies to dst, which begins at a place of a file, what src has of it.
func overlap(dst []byte, at int64, src []byte, from int64) {
	if from >= at {
		copy(dst[from-at:], src)
	} else {
		copy(dst, src[at-from:])
	}
}
