//go:build !race

package rpc

import (
	"context"
	"io"
	"runtime"
	"testing"

	"google.golang.org/grpc"
)

// sink is a client whose stream takes parts at once.
type sink struct {
	CoordinatorClient
	grpc.ClientStreamingClient[FilePart, PutFileReply]
	bytes int
}

func (s *sink) PutFile(context.Context, ...grpc.CallOption) (Coordinator_PutFileClient, error) {
	return s, nil
}

func (s *sink) Send(p *FilePart) error {
	s.bytes += len(p.Data)
	return nil
}

func (s *sink) CloseAndRecv() (*PutFileReply, error) { return &PutFileReply{Id: "c1"}, nil }

// TestSendFileTakesOnePart: a file costs the memory of one part, however large it is. Otherwise a state that is sent to three coordinators
// leaves several times its size to the garbage collector, which lets the heap grow to twice what is in use first.
func TestSendFileTakesOnePart(t *testing.T) {
	const pieces = 1024
	piece := make([]byte, 64<<10)
	s := &sink{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := SendFile(t.Context(), s, &FilePart{}, func(w io.Writer) error {
		for range pieces {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
	runtime.ReadMemStats(&after)
	if err != nil || s.bytes != pieces*len(piece) {
		t.Fatalf("%d bytes sent, error %v", s.bytes, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*filePart {
		t.Errorf("sending %d MiB allocated %d KiB", s.bytes>>20, took>>10)
	}
}
