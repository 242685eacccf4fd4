package fleet

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"ringmaster/internal/regularfile"
)

// program is a ringmaster for hosts of one platform.
type program struct {
	path  string
	hash  string // SHA-256 in hexadecimal
	bytes int64
}

// Programs finds the program of each platform: this one for its own, others where the person says.
type Programs struct {
	Given map[string]string // platform -> path of a program, as by --binary
	Dist  string            // folder of a release's archives (make dist); may be empty

	mu    sync.Mutex
	found map[string]*program
	temp  string
}

// ParseBinaries reads PLATFORM=PATH.
func ParseBinaries(texts []string) (map[string]string, error) {
	given := map[string]string{}
	for _, text := range texts {
		platform, file, ok := strings.Cut(text, "=")
		known := false
		for _, p := range platforms {
			known = known || p == platform
		}
		if !ok || file == "" || !known {
			return nil, fmt.Errorf("--binary %s: write PLATFORM=PATH with linux/amd64, linux/arm64, darwin/amd64 or darwin/arm64", text)
		}
		if _, twice := given[platform]; twice {
			return nil, fmt.Errorf("--binary names two programs for %s", platform)
		}
		given[platform] = file
	}
	return given, nil
}

// Close removes what was unpacked.
func (p *Programs) Close() error {
	if p.temp == "" {
		return nil
	}
	return os.RemoveAll(p.temp)
}

// of finds a platform's program.
func (p *Programs) of(platform string) (*program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.found[platform]; found != nil {
		return found, nil
	}
	file, err := p.locate(platform)
	if err != nil {
		return nil, err
	}
	f, err := regularfile.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if p.found == nil {
		p.found = map[string]*program{}
	}
	p.found[platform] = &program{path: file, hash: hex.EncodeToString(sum.Sum(nil)), bytes: n}
	return p.found[platform], nil
}

func (p *Programs) locate(platform string) (string, error) {
	if file := p.Given[platform]; file != "" {
		return file, nil
	}
	if platform == runtime.GOOS+"/"+runtime.GOARCH {
		return os.Executable()
	}
	if p.Dist == "" {
		return "", fmt.Errorf("it is %s and this program is %s/%s: name a ringmaster for it, --binary %s=PATH, or a folder of a release, --dist bin/dist", platform, runtime.GOOS, runtime.GOARCH, platform)
	}
	pattern := filepath.Join(p.Dist, "ringmaster_*_"+strings.ReplaceAll(platform, "/", "_")+".tar.gz")
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("there must be one archive %s, and there are %d; make dist makes one", pattern, len(files))
	}
	return p.unpack(files[0])
}

// maxProgram bounds what is unpacked.
const maxProgram = 1 << 30

// unpack takes the program out of an archive of a release.
func (p *Programs) unpack(archive string) (string, error) {
	f, err := regularfile.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", archive, err)
	}
	files := tar.NewReader(packed)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s holds no bin/ringmaster: it is no archive of a release", archive)
		} else if err != nil {
			return "", fmt.Errorf("read %s: %w", archive, err)
		}
		if header.Typeflag != tar.TypeReg || path.Base(header.Name) != "ringmaster" || path.Base(path.Dir(header.Name)) != "bin" {
			continue
		}
		if header.Size > maxProgram {
			return "", fmt.Errorf("%s: a program of %d bytes is none of ours", archive, header.Size)
		}
		if p.temp == "" {
			if p.temp, err = os.MkdirTemp("", "ringmaster-dist-"); err != nil {
				return "", err
			}
		}
		out, err := os.CreateTemp(p.temp, "ringmaster-")
		if err != nil {
			return "", err
		}
		_, err = io.Copy(out, files)
		return out.Name(), errors.Join(err, out.Close())
	}
}
