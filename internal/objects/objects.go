// Package objects reads and writes objects in stores that speak S3. Addresses and credentials come from where other programs take them.
//
// It is a few calls: Put creates an object once and never replaces one, Read takes a range of bytes, Fetch takes a whole object and goes on
// where a connection broke, Head, List and Delete. What a server does not answer is tried again for a bounded time.
package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ringmaster/internal/printable"
)

const scheme = "s3://"

// Place is a bucket and what the keys of the objects in it begin with.
type Place struct {
	Bucket string
	Prefix string // without a slash at either end; may be empty
}

// Is reports whether a path is a place in an object store.
func Is(path string) bool { return strings.HasPrefix(path, scheme) }

// Parse reads s3://BUCKET or s3://BUCKET/PREFIX.
func Parse(path string) (Place, error) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(path, scheme), "/")
	prefix = strings.Trim(prefix, "/")
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_", r)
	}
	switch {
	case !Is(path) || bucket == "":
		return Place{}, fmt.Errorf("%s is no place in an object store: write s3://BUCKET/PREFIX", printable.Typed(path))
	case len(bucket) > 255 || strings.ContainsFunc(bucket, func(r rune) bool { return !plain(r) }):
		return Place{}, fmt.Errorf("%s: %s is no name of a bucket (letters, digits, dots and dashes)", printable.Typed(path), printable.Typed(bucket))
	case len(prefix) > maxKey/2 || strings.Contains(prefix, "//") || strings.Contains("/"+prefix+"/", "/../") || strings.Contains("/"+prefix+"/", "/./"):
		return Place{}, fmt.Errorf("%s: write the prefix as names between single slashes, none of them a dot or two", printable.Typed(path))
	}
	return Place{bucket, prefix}, nil
}

// String is the place as it is written.
func (p Place) String() string { return p.Join("") }

// Join is where the object of a name below the place is, as it is written.
func (p Place) Join(name string) string {
	return strings.TrimSuffix(scheme+p.Bucket+"/"+p.key(name), "/")
}

func (p Place) key(name string) string {
	if p.Prefix == "" {
		return name
	}
	return p.Prefix + "/" + name
}

const (
	maxKey   = 1024             // bytes of a key
	stall    = time.Minute      // for which no byte may flow of a request
	silence  = 20 * time.Second // within which a server must begin to answer
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Options say how a store is spoken to.
type Options struct {
	// Patience is how long a request is tried again while the store does not answer; 0: a minute.
	Patience time.Duration
	// Say is told once when the store stops answering, and when it does so again; nil: nobody is told.
	Say func(line string)
}

// Store is a place in an object store. Several goroutines may use it.
type Store struct {
	Place    Place
	core     minio.Core
	settings *settings
	o        Options
}

// ErrOther is wrapped when an object exists with other bytes than those that were to be put there.
var ErrOther = errors.New("it exists with other bytes")

// Open makes a client of the store at a place. Nothing is asked of a server yet, except of the one that gives a machine its credentials where
// there are none in the environment and in files.
func Open(path string, o Options) (*Store, error) {
	place, err := Parse(path)
	if err != nil {
		return nil, err
	}
	s, err := readSettings()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	transport.ResponseHeaderTimeout, transport.MaxIdleConnsPerHost, transport.DisableCompression = silence, 16, true
	if transport.TLSClientConfig, err = s.trust(); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	lookup := minio.BucketLookupPath
	if s.amazon {
		lookup = minio.BucketLookupAuto
	}
	client, err := minio.New(s.endpoint.Host, &minio.Options{Creds: credentials.New(s), Secure: s.endpoint.Scheme == "https", Transport: transport,
		Region: s.region, BucketLookup: lookup, MaxRetries: 1})
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", place, s.endpoint.Host, err)
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	return &Store{Place: place, core: minio.Core{Client: client}, settings: s, o: o}, nil
}

// Endpoint is the server's address, which tells equal names on several servers apart.
func (s *Store) Endpoint() string { return s.settings.endpoint.Host }

// At is the store of the same server and bucket with the prefix of a name below this place.
func (s *Store) At(name string) *Store {
	at := *s
	at.Place.Prefix = strings.Trim(s.Place.key(name), "/")
	return &at
}

// awayError means that the store does not answer, or not now: a later attempt may succeed.
type awayError struct{ what string }

func (e *awayError) Error() string { return e.what }

// Away reports whether an error means that the store did not answer, so that a later attempt may succeed.
func Away(err error) bool {
	var away *awayError
	return errors.As(err, &away)
}

// explain says in one line what a server or the way to it has said, with what to do. It holds no secret.
func (s *Store) explain(err error) error {
	at := s.settings.endpoint.Host
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		var wrong *credentialsError
		if errors.As(err, &wrong) {
			return wrong
		}
		if detailed, ok := errors.AsType[*url.Error](err); ok {
			err = detailed.Err
		}
		if detailed, ok := errors.AsType[*net.OpError](err); ok {
			err = detailed.Err // without ports, which differ each time
		}
		return &awayError{fmt.Sprintf("%s cannot be reached (%s)", at, printable.Line(err.Error(), 200))}
	}
	who := s.settings.who()
	switch answer.Code {
	case "NoSuchBucket":
		return fmt.Errorf("there is no bucket %s at %s: make it, or correct its name", s.Place.Bucket, at)
	case "NoSuchKey":
		return fs.ErrNotExist
	case "PreconditionFailed":
		return errors.New("it has changed meanwhile")
	case "AccessDenied", "AllAccessDisabled":
		return fmt.Errorf("%s denies access with the %s: give it the right to list, read, write and delete there", at, who)
	case "InvalidAccessKeyId", "InvalidClientTokenId":
		return fmt.Errorf("%s does not know the access key of the %s", at, who)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("%s refuses the secret key of the %s: it does not belong to the access key, or the region is not %s", at, who, s.settings.region)
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken":
		return fmt.Errorf("the %s have expired, says %s: get new ones", who, at)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("this machine's clock is wrong, says %s: set it (NTP)", at)
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect":
		region := "another region"
		if answer.Region != "" && answer.Region != s.settings.region {
			region = "region " + printable.Line(answer.Region, 40)
		}
		return fmt.Errorf("bucket %s is in %s, not in %s: set AWS_REGION", s.Place.Bucket, region, s.settings.region)
	}
	what := printable.Line(answer.Code+": "+answer.Message, 200)
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return fs.ErrNotExist
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code == 0:
		return &awayError{fmt.Sprintf("%s does not serve now (%s)", at, what)}
	}
	return fmt.Errorf("%s refuses (%s)", at, what)
}
