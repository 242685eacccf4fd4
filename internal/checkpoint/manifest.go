package checkpoint

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"unicode/utf8"

	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
)

const (
	// ManifestVersion is the version of the format that this package writes. It reads this one and version 1, which had an object
	// for every epoch, and writes a manifest of that version as it was.
	ManifestVersion = 2
	// ManifestName is the manifest's file in a checkpoint's folder.
	ManifestName = "manifest.json"

	// MaxManifestBytes bounds a manifest: epochs and configuration of any real job are far below.
	MaxManifestBytes = 64 << 20

	maxFileBytes = 1 << 42 // 4 TiB: a share beyond it is a broken number
	maxNameBytes = 200     // of a file or folder; leaves room for a temporary name
)

// File is one file of a checkpoint.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 Hash   `json:"sha256"`
}

// Manifest describes a checkpoint. A folder of files is a checkpoint once it contains its manifest. The checksum
// covers every field, so a manifest that changed on disk is noticed.
type Manifest struct {
	Version     int              `json:"version"`
	Job         string           `json:"job"`
	Incarnation plan.Incarnation `json:"incarnation,omitempty"` // of the job; 0: written before folders were named by it
	Step        uint64           `json:"step"`
	Generation  plan.Generation  `json:"generation"`
	Seats       int              `json:"seats"`
	Digest      Hash             `json:"digest"`       // of the parameters
	StateDigest Hash             `json:"state_digest"` // of all that training continues from
	Fingerprint Hash             `json:"fingerprint"`  // of the data
	Position    Position         `json:"position"`
	Sums        EpochSums        `json:"epoch_sums"`
	Epochs      []EpochMetrics   `json:"epochs"`
	Config      string           `json:"config"`         // the resolved job file
	Data        json.RawMessage  `json:"data,omitempty"` // what predictions need to know of the data, as the data's own package writes it
	Files       []File           `json:"files"`
	Checksum    string           `json:"checksum"` // set by Encode
}

// Bytes is the size of all files together.
func (m *Manifest) Bytes() int64 {
	total := int64(0)
	for _, f := range m.Files {
		total += f.Bytes
	}
	return total
}

// Name is what the checkpoint's folder is named by.
func (m *Manifest) Name() Name { return Name{m.Step, m.Generation, m.Incarnation} }

// Folder is the name of the checkpoint's folder.
func (m *Manifest) Folder() string { return m.Name().Folder() }

// Encode writes the manifest with its checksum. Equal manifests give equal bytes.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	c := *m
	sum, err := c.checksum()
	if err != nil {
		return nil, err
	}
	c.Checksum = sum
	data, err := c.text()
	if err != nil {
		return nil, fmt.Errorf("encode manifest of checkpoint step %d: %w", m.Step, err)
	}
	if len(data) > MaxManifestBytes {
		return nil, fmt.Errorf("manifest of checkpoint step %d has %d bytes, at most %d are allowed", m.Step, len(data), MaxManifestBytes)
	}
	return data, nil
}

func (m *Manifest) checksum() (string, error) {
	c := *m
	c.Checksum = ""
	data, err := c.fields()
	if err != nil {
		return "", fmt.Errorf("encode manifest of checkpoint step %d: %w", m.Step, err)
	}
	return Hash(sha256.Sum256(data)).String(), nil
}

// ParseManifest reads a manifest that Encode wrote, in whatever white space, and checks it with its checksum.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifestBytes {
		return nil, fmt.Errorf("manifest has %d bytes, at most %d are allowed", len(data), MaxManifestBytes)
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("manifest is damaged: it %s", JSONFault(err))
	}
	if err := checkVersion(version.Version); err != nil {
		return nil, fmt.Errorf("manifest %w", err)
	}
	m, err := parseFields(data, version.Version)
	if err != nil {
		return nil, fmt.Errorf("manifest is damaged: it %s", JSONFault(err))
	}
	sum, err := m.checksum()
	if err != nil {
		return nil, err
	}
	if m.Checksum != sum {
		return nil, errors.New("manifest is damaged: its checksum is wrong")
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

func checkVersion(version int) error {
	if version < 1 || version > ManifestVersion {
		return fmt.Errorf("has version %d, this program reads versions 1 to %d", version, ManifestVersion)
	}
	return nil
}

// Validate checks that the manifest describes a whole checkpoint: safe file names, all shares of each kind, sizes in
// bounds.
func (m *Manifest) Validate() error {
	if err := checkVersion(m.Version); err != nil {
		return fmt.Errorf("manifest of checkpoint step %d %w", m.Step, err)
	}
	if !utf8.ValidString(m.Config) || !utf8.ValidString(m.Job) {
		return fmt.Errorf("manifest of checkpoint step %d: job and configuration must be UTF-8", m.Step)
	}
	if m.Seats < 1 {
		return fmt.Errorf("manifest of checkpoint step %d: %d seats", m.Step, m.Seats)
	}
	have, of := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, f := range m.Files {
		kind, _, count, ok := parseShareName(f.Name)
		if !ok {
			return fmt.Errorf("manifest of checkpoint step %d: %q is not the name of a share", m.Step, f.Name)
		}
		if f.Bytes < 8 || f.Bytes > maxFileBytes {
			return fmt.Errorf("manifest of checkpoint step %d: file %s has %d bytes", m.Step, f.Name, f.Bytes)
		}
		if seen[f.Name] || (of[kind] != 0 && of[kind] != count) {
			return fmt.Errorf("manifest of checkpoint step %d: file %s does not go with the others", m.Step, f.Name)
		}
		seen[f.Name], of[kind] = true, count
		have[kind]++
	}
	for _, kind := range []string{kindModel, kindOptim, kindStats, kindHistory} {
		if have[kind] != of[kind] {
			return fmt.Errorf("manifest of checkpoint step %d: %d of %d %s files", m.Step, have[kind], of[kind], kind)
		}
	}
	if have[kindModel] == 0 {
		return fmt.Errorf("manifest of checkpoint step %d names no model file", m.Step)
	}
	return nil
}

// Name is what a checkpoint's folder is named by. A job's incarnation is drawn at random when it is submitted, and its generations
// rise, so a name belongs to one job for all time, on any cluster and however often the job is resumed (each time as a new job).
type Name struct {
	Step       uint64
	Generation plan.Generation
	Job        plan.Incarnation // 0: of a checkpoint written before folders were named by it
}

// Folder is the name of the folder: step-0000000500-g2-00c0ffee00c0ffee.
func (n Name) Folder() string {
	folder := fmt.Sprintf("step-%010d-g%d", n.Step, n.Generation)
	if n.Job != 0 {
		folder += fmt.Sprintf("-%016x", uint64(n.Job))
	}
	return folder
}

var folderPattern = regexp.MustCompile(`^step-([0-9]{10,20})-g([0-9]{1,20})(?:-([0-9a-f]{16}))?$`)

// ParseName is the inverse of Name.Folder; ok is false for any other name.
func ParseName(folder string) (n Name, ok bool) {
	m := folderPattern.FindStringSubmatch(folder)
	if m == nil {
		return Name{}, false
	}
	step, err := strconv.ParseUint(m[1], 10, 64)
	g, err2 := strconv.ParseUint(m[2], 10, 64)
	if err != nil || err2 != nil {
		return Name{}, false
	}
	n = Name{Step: step, Generation: plan.Generation(g)}
	if m[3] != "" {
		job, _ := strconv.ParseUint(m[3], 16, 64) // 16 digits fit
		n.Job = plan.Incarnation(job)
	}
	return n, n.Folder() == folder
}

// The kinds of files.
const (
	kindModel   = "model"
	kindOptim   = "optim"
	kindStats   = "stats"
	kindHistory = "history"
)

func shareName(kind string, index, count int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.safetensors", kind, index+1, count)
}

var sharePattern = regexp.MustCompile(`^(model|optim|stats|history)-([0-9]{5})-of-([0-9]{5})\.safetensors$`)

// SeatOf is the seat, out of seats, whose worker writes the file of that name; ok is false if the name is not a share's.
func SeatOf(name string, seats int) (seat int, ok bool) {
	_, index, count, ok := parseShareName(name)
	if !ok || count > seats {
		return 0, false
	}
	return seatOf(index, count, seats), true
}

// seatOf is the seat whose worker writes share k of n.
func seatOf(k, n, seats int) int { return k * seats / n }

func parseShareName(name string) (kind string, index, count int, ok bool) {
	m := sharePattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, 0, false
	}
	index, _ = strconv.Atoi(m[2])
	count, _ = strconv.Atoi(m[3])
	return m[1], index - 1, count, index >= 1 && index <= count
}

// filePath joins a folder's and a file's name after checking that they come from this package's own names: nothing
// that comes from outside can name a file elsewhere.
func filePath(folder, name string) (string, error) {
	if _, ok := ParseName(folder); !ok {
		return "", fmt.Errorf("%q is not the name of a checkpoint's folder (step-0000000500-g1-00c0ffee00c0ffee)", printable.Short(folder, maxNameBytes))
	}
	if _, _, _, ok := parseShareName(name); !ok && name != ManifestName {
		return "", fmt.Errorf("%q is not the name of a checkpoint's file", printable.Short(name, maxNameBytes))
	}
	return path.Join(folder, name), nil
}
