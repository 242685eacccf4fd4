package objects

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"ringmaster/internal/sleep"
)

// Info is what a store says of an object.
type Info struct {
	Name  string // below the store's place
	Bytes int64
	Tag   string // changes when the object does
}

const (
	partBytes = 16 << 20 // of a large object's parts
	maxParts  = 10000
)

// Put stores an object of size bytes whose SHA-256 is sum, once. It is not an error if these bytes are there already; other bytes under the
// name stay, and the error wraps ErrOther. open is called for each attempt.
func (s *Store) Put(ctx context.Context, name string, size int64, sum [sha256.Size]byte, open func() (io.ReadCloser, error)) error {
	key := s.Place.key(name)
	if len(key) > maxKey {
		return fmt.Errorf("store %s: its key has more than %d bytes", s.Place.Join(name), maxKey)
	}
	var exists bool
	err := s.persist(ctx, func(ctx context.Context, alive func()) error {
		err := s.put(ctx, alive, key, size, sum, open)
		var answer minio.ErrorResponse
		if errors.As(err, &answer) && (answer.Code == "PreconditionFailed" || answer.Code == "ConditionalRequestConflict" || answer.StatusCode == 412) {
			exists, err = true, nil
		}
		return err
	})
	if err == nil && exists {
		err = s.same(ctx, name, size, sum)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", s.Place.Join(name), err)
	}
	return nil
}

// put is one attempt to create an object.
func (s *Store) put(ctx context.Context, alive func(), key string, size int64, sum [sha256.Size]byte, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return &sourceError{err}
	}
	defer r.Close()
	o := minio.PutObjectOptions{ContentType: "application/octet-stream", SendContentMd5: true, NumThreads: 1}
	o.PartSize = max(partBytes, uint64(size/maxParts+1+(1<<20))>>20<<20)
	o.SetMatchETagExcept("*")
	h := sha256.New()
	// Nothing but a reader: what is sent is what was hashed.
	from := &livelyReader{r: io.TeeReader(io.LimitReader(r, size), h), alive: alive}
	if _, err = s.core.Client.PutObject(ctx, s.Place.Bucket, key, from, size, o); err != nil {
		if from.err != nil {
			return &sourceError{from.err}
		}
		return err
	}
	if [sha256.Size]byte(h.Sum(nil)) == sum {
		return nil
	}
	// What was read is damaged, and so is what was created.
	return errors.Join(&sourceError{errors.New("what was read to be stored has another SHA-256")}, s.core.RemoveObject(ctx, s.Place.Bucket, key, minio.RemoveObjectOptions{}))
}

// sourceError is about what is to be stored, not about the store.
type sourceError struct{ error }

// Unwrap is the error.
func (e *sourceError) Unwrap() error { return e.error }

// livelyReader tells that bytes flow, and remembers why reading failed.
type livelyReader struct {
	r     io.Reader
	alive func()
	err   error
}

// Read implements io.Reader.
func (c *livelyReader) Read(p []byte) (int, error) {
	c.alive()
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// same checks that an object that exists has these bytes.
func (s *Store) same(ctx context.Context, name string, size int64, sum [sha256.Size]byte) error {
	info, err := s.Head(ctx, name)
	if err != nil {
		return err
	}
	if info.Bytes != size {
		return ErrOther
	}
	h := sha256.New()
	if err := s.Fetch(ctx, info, h); err != nil {
		return err
	}
	if [sha256.Size]byte(h.Sum(nil)) != sum {
		return ErrOther
	}
	return nil
}

// Read fills p with the bytes of an object from a place on.
func (s *Store) Read(ctx context.Context, name string, from int64, p []byte) error {
	err := s.persist(ctx, func(ctx context.Context, alive func()) error {
		r, err := s.open(ctx, name, "", from, from+int64(len(p))-1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadFull(&livelyReader{r: r, alive: alive}, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Place.Join(name), err)
	}
	return nil
}

// open asks for bytes from..to, both included, of an object that has the tag, if one is given.
func (s *Store) open(ctx context.Context, name, tag string, from, to int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if err := o.SetRange(from, to); err != nil {
		return nil, err
	}
	if tag != "" {
		if err := o.SetMatchETag(tag); err != nil {
			return nil, err
		}
	}
	r, info, _, err := s.core.GetObject(ctx, s.Place.Bucket, s.Place.key(name), o)
	if err == nil && info.Size != to-from+1 {
		r.Close()
		return nil, &shortError{}
	}
	return r, err
}

// shortError means that an object is another one than was said.
type shortError struct{}

func (*shortError) Error() string { return "it is shorter than it was, or the server ignores ranges" }

// Fetch writes the whole of an object, which Head or List described, to w. Where the connection breaks it goes on from there, if the object is
// still the same.
func (s *Store) Fetch(ctx context.Context, info Info, w io.Writer) error {
	done := int64(0)
	var failed error // of w
	for done < info.Bytes && failed == nil {
		begin := done
		err := s.persist(ctx, func(ctx context.Context, alive func()) error {
			r, err := s.open(ctx, info.Name, info.Tag, done, info.Bytes-1)
			if err != nil {
				return err
			}
			defer r.Close()
			n, err := io.Copy(&onlyWriter{w, &failed}, &livelyReader{r: r, alive: alive})
			if done += n; failed != nil || n > 0 && done < info.Bytes {
				return nil // patience begins anew
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", s.Place.Join(info.Name), err)
		}
		if done == begin && failed == nil {
			return fmt.Errorf("read %s: it ends after %d of %d bytes", s.Place.Join(info.Name), done, info.Bytes)
		}
	}
	return failed
}

// onlyWriter remembers why writing failed.
type onlyWriter struct {
	w   io.Writer
	err *error
}

// Write implements io.Writer.
func (o *onlyWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		*o.err = err
	}
	return n, err
}

// Bytes is the whole of a small object, of at most most bytes.
func (s *Store) Bytes(ctx context.Context, name string, most int64) ([]byte, error) {
	info, err := s.Head(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.Bytes > most {
		return nil, fmt.Errorf("read %s: it has %d bytes, at most %d are expected", s.Place.Join(name), info.Bytes, most)
	}
	p := make([]byte, info.Bytes)
	if len(p) == 0 {
		return p, nil
	}
	return p, s.Read(ctx, name, 0, p)
}

// Head describes an object. The error wraps fs.ErrNotExist where there is none.
func (s *Store) Head(ctx context.Context, name string) (info Info, err error) {
	err = s.persist(ctx, func(ctx context.Context, _ func()) error {
		o, err := s.core.StatObject(ctx, s.Place.Bucket, s.Place.key(name), minio.StatObjectOptions{})
		info = Info{name, o.Size, o.ETag}
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("look for %s: %w", s.Place.Join(name), err)
	}
	return info, nil
}

// List calls do with each object below the place, in the order of their names, until do returns an error.
func (s *Store) List(ctx context.Context, do func(Info) error) error {
	prefix, after := s.Place.key(""), ""
	var failed error // of do
	err := s.persist(ctx, func(ctx context.Context, alive func()) error {
		for o := range s.core.ListObjectsIter(ctx, s.Place.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: after}) {
			if o.Err != nil {
				return o.Err
			}
			alive()
			after = o.Key
			name := strings.TrimPrefix(o.Key, prefix)
			if name == "" || strings.HasSuffix(name, "/") {
				continue // what some programs make for a folder
			}
			if failed = do(Info{name, o.Size, strings.Trim(o.ETag, `"`)}); failed != nil {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", s.Place, err)
	}
	return failed
}

// Delete deletes an object. That there is none is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := s.persist(ctx, func(ctx context.Context, _ func()) error {
		return s.core.RemoveObject(ctx, s.Place.Bucket, s.Place.key(name), minio.RemoveObjectOptions{})
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", s.Place.Join(name), err)
	}
	return nil
}

// persist asks until there is an answer, or patience is over. What the store refuses is not tried again. An attempt that does not say for a
// while that bytes flow is given up.
func (s *Store) persist(ctx context.Context, ask func(ctx context.Context, alive func()) error) error {
	pause, said := minPause, false
	for began := time.Now(); ; pause = min(2*pause, maxPause) {
		within, cancel := context.WithCancel(ctx)
		watchdog := time.AfterFunc(stall, cancel)
		err := ask(within, func() { watchdog.Reset(stall) })
		watchdog.Stop()
		cancel()
		switch source := (*sourceError)(nil); {
		case err == nil:
			if said {
				s.say(fmt.Sprintf("%s answers again, after %.0f s", s.Endpoint(), time.Since(began).Seconds()))
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &source):
			return source.error
		case errors.As(err, new(*shortError)):
			return err
		}
		err = s.explain(err)
		if !Away(err) || time.Since(began)+pause > s.o.Patience {
			return err
		}
		if !said {
			said = true
			s.say(fmt.Sprintf("%v: trying again for %v", err, s.o.Patience))
		}
		sleep.For(ctx, pause)
	}
}

func (s *Store) say(line string) {
	if s.o.Say != nil {
		s.o.Say(line)
	}
}
