package objects

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
)

// settings are what the environment and the files in ~/.aws say. As a provider of credentials it asks, in this order, the environment, the
// files, and the service that gives a machine or a container its role.
type settings struct {
	endpoint *url.URL
	amazon   bool
	region   string
	profile  string

	from     string // where the credentials are from, in words
	provider credentials.Provider
}

// Documented by AWS for all its programs; other stores' programs read them too.
const (
	keyVariable    = "AWS_ACCESS_KEY_ID"
	secretVariable = "AWS_SECRET_ACCESS_KEY"
	defaultRegion  = "us-east-1"

	metadataPatience = 3 * time.Second // of each request to a machine's metadata service, of which there are a few
)

// credentialsError means that there are no credentials, or only a part. It holds none.
type credentialsError struct{ what string }

func (e *credentialsError) Error() string { return e.what }

// readSettings reads all but the credentials.
func readSettings() (*settings, error) {
	s := &settings{profile: cmp.Or(os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"))}
	config, err := readProfile(awsFile("AWS_CONFIG_FILE", "config"), cmp.Or(s.profile, "default"))
	if err != nil {
		return nil, err
	}
	s.region = cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), config["region"], defaultRegion)
	name, at := "AWS_ENDPOINT_URL_S3", os.Getenv("AWS_ENDPOINT_URL_S3")
	if at == "" {
		name, at = "AWS_ENDPOINT_URL", os.Getenv("AWS_ENDPOINT_URL")
	}
	if at == "" && config["endpoint_url"] != "" {
		name, at = "endpoint_url in ~/.aws/config", config["endpoint_url"]
	}
	if s.amazon = at == ""; s.amazon {
		at = "https://s3." + s.region + ".amazonaws.com"
	}
	s.endpoint, err = url.Parse(at)
	if err != nil || s.endpoint.Host == "" || s.endpoint.Scheme != "http" && s.endpoint.Scheme != "https" || strings.Trim(s.endpoint.Path, "/") != "" || s.endpoint.User != nil {
		return nil, fmt.Errorf("%s is no address of a server: write it as https://HOST or http://HOST:PORT", name)
	}
	s.amazon = s.amazon || strings.HasSuffix(s.endpoint.Hostname(), ".amazonaws.com")
	return s, nil
}

// trust is what certificates of servers are checked against: those of AWS_CA_BUNDLE, or the system's.
func (s *settings) trust() (*tls.Config, error) {
	file := os.Getenv("AWS_CA_BUNDLE")
	if file == "" {
		return nil, nil
	}
	text, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// who says where the credentials are from.
func (s *settings) who() string { return cmp.Or(s.from, "credentials") }

// Retrieve implements credentials.Provider.
func (s *settings) Retrieve() (credentials.Value, error) { return s.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext implements credentials.Provider.
func (s *settings) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	key, secret := os.Getenv(keyVariable), os.Getenv(secretVariable)
	switch {
	case (key == "") != (secret == ""):
		return credentials.Value{}, &credentialsError{"of " + keyVariable + " and " + secretVariable + " only one is set: set both, or none"}
	case key != "":
		s.from, s.provider = "credentials in the environment ("+keyVariable+")", &credentials.Static{}
		return credentials.Value{AccessKeyID: key, SecretAccessKey: secret, SessionToken: os.Getenv("AWS_SESSION_TOKEN"), SignerType: credentials.SignatureV4}, nil
	}
	file := &credentials.FileAWSCredentials{Profile: s.profile}
	value, err := file.RetrieveWithCredContext(cc)
	if err == nil && value.AccessKeyID != "" {
		s.from, s.provider = "credentials of profile "+cmp.Or(s.profile, "default")+" in ~/.aws", file
		return value, nil
	}
	if s.profile != "" {
		why := "it has none"
		if err != nil {
			why = err.Error()
		}
		return value, &credentialsError{fmt.Sprintf("no credentials of profile %s (AWS_PROFILE) in ~/.aws: %s", printable.Typed(s.profile), printable.Line(why, 200))}
	}
	role := &credentials.IAM{Client: &http.Client{Timeout: metadataPatience}}
	ctx, cancel := context.WithTimeout(context.Background(), 4*metadataPatience)
	defer cancel()
	if value, err = role.RetrieveWithCredContext(&credentials.CredContext{Client: role.Client, Context: ctx}); err == nil && value.AccessKeyID != "" {
		s.from, s.provider = "credentials of this machine's role", role
		return value, nil
	}
	return value, &credentialsError{"no credentials: set " + keyVariable + " and " + secretVariable + ", or name a profile of ~/.aws/credentials by AWS_PROFILE; nor has this machine a role that gives some"}
}

// IsExpired implements credentials.Provider.
func (s *settings) IsExpired() bool {
	if _, fixed := s.provider.(*credentials.Static); fixed {
		return false
	}
	return s.provider == nil || s.provider.IsExpired()
}

// awsFile is one of the files that programs share: where a variable says, or in ~/.aws.
func awsFile(variable, name string) string {
	if file := os.Getenv(variable); file != "" {
		return file
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".aws", name)
}

// readProfile reads the keys of a profile from a configuration file; none where there is no file, or no such profile.
func readProfile(file, profile string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readBounded(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, within := map[string]string{}, false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section := strings.TrimSpace(strings.Trim(line, "[]"))
			within = strings.TrimSpace(strings.TrimPrefix(section, "profile ")) == profile
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && within && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			found[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return found, nil
}

// readBounded reads a small file.
func readBounded(file string) ([]byte, error) {
	const most = 4 << 20
	f, err := regularfile.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	return text, err
}
