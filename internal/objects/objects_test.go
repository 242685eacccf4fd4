package objects_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/objects"
	"ringmaster/internal/test/s3"
)

// impatient is for requests that are to fail.
var impatient = objects.Options{Patience: time.Millisecond}

func open(t *testing.T, o objects.Options) *objects.Store {
	t.Helper()
	s, err := objects.Open("s3://"+s3.Bucket+"/a/b", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(s *objects.Store, name string, content []byte) error {
	return s.Put(context.Background(), name, int64(len(content)), sha256.Sum256(content), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
}

func pattern(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i * 7 >> (i % 5))
	}
	return content
}

func TestPlaces(t *testing.T) {
	for path, want := range map[string]objects.Place{"s3://b": {Bucket: "b"}, "s3://b/": {Bucket: "b"}, "s3://b.c/d/e/": {Bucket: "b.c", Prefix: "d/e"}} {
		got, err := objects.Parse(path)
		if err != nil || got != want || !objects.Is(path) {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{"s3://", "s3:///a", "b/c", "s3://b/a//c", "s3://b/../c", "s3://b?c/d", "S3://b", "s3://b/" + strings.Repeat("a", 2000)} {
		if got, err := objects.Parse(path); err == nil {
			t.Errorf("%.40s is taken for %+v", path, got)
		}
	}
}

// An object is created once: the same bytes again are no error, others are refused and stay out. Large ones travel in parts.
func TestAnObjectIsCreatedOnce(t *testing.T) {
	server := s3.New(t)
	s := open(t, impatient)
	for name, content := range map[string][]byte{"small": []byte("12345"), "empty": {}, "large": pattern(20 << 20)} {
		for range 2 {
			if err := put(s, name, content); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(server.Object("a/b/"+name), content) {
			t.Errorf("%s is there with other bytes", name)
		}
		for _, other := range [][]byte{[]byte("12346"), []byte("1")} {
			if err := put(s, name, other); !errors.Is(err, objects.ErrOther) || !strings.Contains(err.Error(), "s3://training/a/b/"+name) {
				t.Errorf("%s with other bytes: %v", name, err)
			}
		}
		if !bytes.Equal(server.Object("a/b/"+name), content) {
			t.Errorf("%s was replaced", name)
		}
	}
}

// What is read for an upload must be what was announced: a damaged file does not become an object.
func TestDamagedFilesAreNotStored(t *testing.T) {
	server := s3.New(t)
	s := open(t, impatient)
	err := s.Put(t.Context(), "x", 3, sha256.Sum256([]byte("abc")), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("abd")), nil })
	if err == nil || len(server.Keys()) > 0 {
		t.Errorf("%v, and there are %v", err, server.Keys())
	}
	err = s.Put(t.Context(), "x", 3, [32]byte{}, func() (io.ReadCloser, error) { return nil, fs.ErrNotExist })
	if !errors.Is(err, fs.ErrNotExist) || len(server.Keys()) > 0 {
		t.Errorf("%v, and there are %v", err, server.Keys())
	}
}

// A download goes on where its connection broke, and only if the object is still the same.
func TestADownloadGoesOnWhereItBroke(t *testing.T) {
	server := s3.New(t)
	s := open(t, objects.Options{})
	content := pattern(1 << 20)
	server.Set("a/b/x", content)
	info, err := s.Head(t.Context(), "x")
	if err != nil || info.Bytes != int64(len(content)) {
		t.Fatal(info, err)
	}
	var got bytes.Buffer
	server.Cut(300_000)
	if err := s.Fetch(t.Context(), info, &got); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
	if n := len(server.Asked()); n != 3 {
		t.Errorf("%d requests: %v", n, server.Asked())
	}
	content[5]++
	server.Set("a/b/x", content)
	if err := s.Fetch(t.Context(), info, io.Discard); err == nil {
		t.Error("an object that has changed is fetched as if it had not")
	}
	part := make([]byte, 10)
	if err := s.Read(t.Context(), "x", 100, part); err != nil || !bytes.Equal(part, content[100:110]) {
		t.Errorf("%v, %v", part, err)
	}
	if err := s.Read(t.Context(), "x", int64(len(content))-5, part); err == nil {
		t.Error("bytes behind the end were read")
	}
}

func TestListAndDelete(t *testing.T) {
	server := s3.New(t)
	s := open(t, impatient)
	server.Page(3)
	var want []string
	for i := range 10 {
		name := fmt.Sprintf("x%d/y", i)
		want = append(want, name)
		server.Set("a/b/"+name, []byte("1"))
		server.Set("a/bc/"+name, nil)
	}
	server.Set("a/b/folder/", nil)
	names := func() (names []string) {
		err := s.List(t.Context(), func(i objects.Info) error { names = append(names, i.Name); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "x0/y"); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(); !slices.Equal(got, want[1:]) {
		t.Errorf("listed %v", got)
	}
	if _, err := s.Head(t.Context(), "x0/y"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A store that is away is asked again, and people hear of it once.
func TestAStoreThatIsAwayIsAskedAgain(t *testing.T) {
	server := s3.New(t)
	var lines []string
	s := open(t, objects.Options{Say: func(line string) {
		lines = append(lines, line)
		server.Away(false)
	}})
	server.Away(true)
	if err := put(s, "x", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "cannot be reached") || !strings.Contains(lines[1], "answers again") {
		t.Errorf("said %q", lines)
	}
	server.Away(true)
	if err := put(open(t, impatient), "y", []byte("1")); err == nil || !objects.Away(err) {
		t.Error(err)
	}
}

// What goes wrong is said in one line with what to do, and never with a secret.
func TestErrorsSayWhatToDo(t *testing.T) {
	server := s3.New(t)
	for _, c := range []struct {
		status int
		code   string
		want   string
		away   bool
	}{
		{http.StatusNotFound, "NoSuchBucket", "there is no bucket training", false},
		{http.StatusForbidden, "AccessDenied", "denies access with the credentials in the environment", false},
		{http.StatusForbidden, "InvalidAccessKeyId", "does not know the access key", false},
		{http.StatusForbidden, "SignatureDoesNotMatch", "refuses the secret key", false},
		{http.StatusForbidden, "RequestTimeTooSkewed", "clock", false},
		{http.StatusBadRequest, "ExpiredToken", "expired", false},
		{http.StatusMovedPermanently, "PermanentRedirect", "set AWS_REGION", false},
		{http.StatusServiceUnavailable, "SlowDown", "does not serve now", true},
		{http.StatusTeapot, "Teapot", "refuses (Teapot", false},
	} {
		server.Answer(c.status, c.code)
		err := open(t, impatient).Read(t.Context(), "x", 0, make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) || objects.Away(err) != c.away {
			t.Errorf("%s: %v", c.code, err)
		}
		if err != nil && (strings.Contains(err.Error(), s3.Secret) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v", c.code, err)
		}
	}
}

func TestCredentialsComeFromTheUsualPlaces(t *testing.T) {
	server := s3.New(t)
	server.Set("a/b/x", []byte("1"))
	read := func() error {
		s, err := objects.Open("s3://"+s3.Bucket+"/a/b", impatient)
		if err != nil {
			return err
		}
		return s.Read(t.Context(), "x", 0, make([]byte, 1))
	}
	refused := func(want string) {
		t.Helper()
		if err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	refused("only one is set")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_PROFILE", "team")
	refused("profile team")
	folder := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", write("credentials", "[default]\naws_access_key_id = other\naws_secret_access_key = o\n[team]\naws_access_key_id = "+s3.Key+"\naws_secret_access_key = x\n"))
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_CONFIG_FILE", write("config", "[default]\nendpoint_url = http://127.0.0.1:1\n# x = y\n[profile team]\nregion = eu-1\nendpoint_url = "+server.URL+"\n"))
	if err := read(); err != nil {
		t.Error(err)
	}
	t.Setenv("AWS_PROFILE", "default")
	refused("cannot be reached")
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	refused("does not know the access key of the credentials of profile default")
	for _, endpoint := range []string{"ftp://x", "http://me:password@host", "host:80", "http://host/path"} {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		if _, err := objects.Open("s3://b", impatient); err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL") || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
