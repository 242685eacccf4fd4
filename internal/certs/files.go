package certs

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ringmaster/internal/regularfile"
)

// The files of a folder. A member's holds the first four (a client's no gossip key), the authority's all of them: the
// certificate in it is the client's who made it. A coordinator that admits machines holds all of them too.
const (
	fileCA       = "ca.crt"     // the authority's certificate
	fileCert     = "node.crt"   // the holder's certificate
	fileKey      = "node.key"   // its key
	fileGossip   = "gossip.key" // encrypts gossip; 32 bytes in hexadecimal
	fileCAKey    = "ca.key"     // the authority's key: whoever has it makes certificates
	fileTokenKey = "token.key"  // signs and checks join tokens; 32 bytes in hexadecimal
)

const (
	secretBytes = 32      // of the gossip and token keys
	maxFile     = 1 << 16 // no file here is longer
)

// file is one to be written.
type file struct {
	name string
	data []byte
}

// writeFiles writes new files into a folder, which is made where missing, readable by their owner alone. One that is
// there already is an error, and nothing is written, unless they may be replaced. Each is whole or not there: a temporary file is renamed.
func writeFiles(dir string, files []file, replace bool) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is no folder; name another one for the certificates", dir)
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil && replace {
			continue
		} else if err == nil {
			return fmt.Errorf("%s is there already; name another folder, or remove it", filepath.Join(dir, f.name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of certificates: %w", err)
	}
	if err := checkFolder(dir); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(dir, f); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, f.name), err)
		}
	}
	return syncFolder(dir)
}

func writeFile(dir string, f file) (err error) {
	t, err := os.CreateTemp(dir, "."+f.name+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(t.Name()))
		}
	}()
	_, err = t.Write(f.data)
	if err == nil {
		err = t.Sync()
	}
	if err = errors.Join(err, t.Close()); err != nil {
		return err
	}
	return os.Rename(t.Name(), filepath.Join(dir, f.name))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile reads a file. A key that other users may read is refused, the way ssh does.
func readFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 && !strings.HasSuffix(name, ".key") {
		return nil, fmt.Errorf("%s can be changed by other users (mode %04o); run: chmod go-w %s", path, info.Mode().Perm(), path)
	}
	if strings.HasSuffix(name, ".key") && tooOpen(info, os.Getuid()) {
		return nil, fmt.Errorf("%s can be read or changed by other users (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes: it is none of ours", path, maxFile)
	}
	return data, nil
}

// tooOpen reports whether others than a process's user may read or change a key. A key of root's may be read by the group: so secrets are
// mounted into a container whose user is not root. No file of the user's own may.
func tooOpen(info fs.FileInfo, user int) bool {
	open := info.Mode().Perm() & 0o077
	if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid == 0 && user != 0 {
		open &^= 0o040
	}
	return open != 0
}

// checkFolder refuses a folder in which other users may put files in the place of those that are there: they would choose whom this
// process trusts. With the sticky bit they may not.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil // reading the file says so
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("other users may change the files in %s (mode %04o); run: chmod go-w %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// absent reports whether an error of readFile means that there is no such file, or no folder that could contain it.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// readSecret reads a key of 32 bytes.
func readSecret(dir, name string) ([]byte, error) {
	text, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("%s does not hold %d bytes in hexadecimal", filepath.Join(dir, name), secretBytes)
	}
	return secret, nil
}

func writeSecret(name string, secret []byte) file {
	return file{name, []byte(hex.EncodeToString(secret) + "\n")}
}

// readCertificate reads a PEM file that holds one certificate.
func readCertificate(dir, name string) (*x509.Certificate, error) {
	data, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	der, err := decodePEM(data, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return cert, nil
}

func decodePEM(data []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != kind || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("it does not hold exactly one PEM block %q", kind)
	}
	return block.Bytes, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
