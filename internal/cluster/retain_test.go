package cluster

import (
	"crypto/sha256"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/rpc"
)

// during calls do before the first byte is read.
type during struct{ do func() }

func (d *during) Read(p []byte) (int, error) {
	d.do()
	return copy(p, "12345678"), nil
}

// A file that is on its way while needless folders are looked for is looked at afterwards.
func TestSweepAfterStoring(t *testing.T) {
	store, err := checkpoint.Open(disk.NewMemFS(), "/s")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{store: store}
	sum := sha256.Sum256([]byte("12345678"))
	part := &rpc.FilePart{Directory: checkpoint.Name{Step: 1, Generation: 1, Job: 7}.Folder(), Name: "model-00001-of-00001.safetensors", Bytes: 8, Sha256: sum[:]}
	swept := false
	err = s.StoreFile(part, &during{func() {
		s.sweep(5, &claimedFolders{})
		swept = s.sweptAt.Load() == 5
	}})
	if err == nil || !swept { // more bytes come than were announced
		t.Fatalf("stored: %v, swept meanwhile: %v", err, swept)
	}
	if s.sweptAt.Load() != 0 {
		t.Error("the folder is not looked at again")
	}
}
