// Package s3 is a small object store in the test's own process, which speaks as much of S3 as Ringmaster uses and can fail in the ways in
// which stores and networks do. Real stores are tried by "make s3".
package s3

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Bucket is the one that every server has. Key and Secret open it.
const (
	Bucket = "training"
	Key    = "test-key"
	Secret = "a-secret-that-must-not-be-shown"
)

// Server is the store.
type Server struct {
	URL string

	mu      sync.Mutex
	objects map[string][]byte            // by key
	parts   map[string]map[string][]byte // of uploads, by number
	away    bool
	code    string // what every request is answered with; "": what is asked for
	status  int
	cut     int64 // bytes after which the next download breaks; 0: none
	page    int   // keys in a page of a list
	asked   []string
}

// New starts a store, and sets the environment so that this process and its children use it.
func New(t testing.TB) *Server {
	s := &Server{objects: map[string][]byte{}, parts: map[string]map[string][]byte{}, page: 1000}
	web := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(web.Close)
	s.URL = web.URL
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": web.URL, "AWS_ENDPOINT_URL_S3": "", "AWS_ACCESS_KEY_ID": Key, "AWS_SECRET_ACCESS_KEY": Secret,
		"AWS_SESSION_TOKEN": "", "AWS_REGION": "us-east-1", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nowhere/config", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"} {
		t.Setenv(name, value)
	}
	return s
}

// Keys are those of all objects, in order.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Object is the content of an object; nil: there is none.
func (s *Server) Object(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.objects[key])
}

// Set makes an object, or replaces it behind everybody's back.
func (s *Server) Set(key string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = bytes.Clone(content)
}

// Remove removes an object.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

// Away makes the store break every connection, or serve again.
func (s *Server) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Answer makes the store answer everything with an error; status 0: no more.
func (s *Server) Answer(status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.code = status, code
}

// Cut breaks the next download after so many bytes.
func (s *Server) Cut(after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = after
}

// Page bounds the keys in a page of a list.
func (s *Server) Page(keys int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = keys
}

// Asked are the requests so far, as "GET key".
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>the test says so</Message></Error>", code)
}

func tag(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := payload(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.asked = append(s.asked, r.Method+" "+key)
	switch {
	case s.away || err != nil:
		panic(http.ErrAbortHandler)
	case s.status != 0:
		fail(w, s.status, s.code)
	case bucket != Bucket:
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case !strings.Contains(r.Header.Get("Authorization"), "Credential="+Key+"/"):
		fail(w, http.StatusForbidden, "InvalidAccessKeyId")
	case key == "":
		s.list(w, r)
	case r.Method == http.MethodPut:
		s.put(w, r, key, body)
	case r.Method == http.MethodPost:
		s.post(w, r, key)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.get(w, r, key)
	}
}

// payload is a request's body, without the frame of signed chunks.
func payload(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	var content []byte
	for in := bufio.NewReader(r.Body); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil || n == 0 {
			return content, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		content = append(content, chunk[:n]...)
	}
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if upload := r.URL.Query().Get("uploadId"); upload != "" {
		s.parts[upload][fmt.Sprintf("%6s", r.URL.Query().Get("partNumber"))] = body
	} else if _, exists := s.objects[key]; exists && r.Header.Get("If-None-Match") == "*" {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	} else {
		s.objects[key] = body
	}
	w.Header().Set("ETag", tag(body))
}

// post begins an upload in parts, or ends it.
func (s *Server) post(w http.ResponseWriter, r *http.Request, key string) {
	upload := r.URL.Query().Get("uploadId")
	if upload == "" {
		upload = strconv.Itoa(len(s.parts) + 1)
		s.parts[upload] = map[string][]byte{}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>%s</Bucket><UploadId>%s</UploadId></InitiateMultipartUploadResult>", Bucket, upload)
		return
	}
	if _, exists := s.objects[key]; exists && r.Header.Get("If-None-Match") == "*" {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	var whole []byte
	for _, number := range slices.Sorted(maps.Keys(s.parts[upload])) {
		whole = append(whole, s.parts[upload][number]...)
	}
	s.objects[key] = whole
	fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>%s</Bucket><ETag>%s</ETag></CompleteMultipartUploadResult>", Bucket, tag(whole))
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	content, exists := s.objects[key]
	switch match := r.Header.Get("If-Match"); {
	case !exists:
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	case match != "" && match != tag(content):
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	w.Header().Set("ETag", tag(content))
	w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	var from, to int64
	status := http.StatusOK
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil {
		if from >= int64(len(content)) {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		to = min(to, int64(len(content))-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
		content, status = content[from:to+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if s.cut > 0 && s.cut < int64(len(content)) {
		w.Write(content[:s.cut])
		s.cut = 0
		panic(http.ErrAbortHandler)
	}
	w.Write(content)
}

type listed struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	IsTruncated           bool
	NextContinuationToken string
	Contents              []listedObject
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	out := listed{Name: Bucket}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if key <= after || !strings.HasPrefix(key, q.Get("prefix")) {
			continue
		}
		if len(out.Contents) == s.page {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[len(out.Contents)-1].Key
			break
		}
		out.Contents = append(out.Contents, listedObject{key, "2006-01-02T15:04:05.000Z", tag(s.objects[key]), len(s.objects[key])})
	}
	text, err := xml.Marshal(out)
	if err != nil {
		panic(err)
	}
	w.Write(text)
}
