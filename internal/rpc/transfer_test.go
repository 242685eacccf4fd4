package rpc

import (
	"bytes"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// storing is a coordinator that keeps the bytes of the one file it gets.
type storing struct {
	UnimplementedCoordinatorServer
	got []byte
}

func (s *storing) PutFile(stream Coordinator_PutFileServer) error {
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&PutFileReply{Id: "c1"})
		}
		if err != nil {
			return err
		}
		s.got = append(s.got, part.Data...)
	}
}

// TestSendFileUsesItsBuffersAgain: the bytes that arrive are those that were written, in pieces smaller and larger than a part, although
// the writer changes each piece as soon as it is written.
func TestSendFileUsesItsBuffersAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	store, server := &storing{}, grpc.NewServer()
	RegisterCoordinatorServer(server, store)
	go func() { _ = server.Serve(l) }() // until the test ends
	defer server.Stop()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var want []byte
	id, err := SendFile(t.Context(), NewCoordinatorClient(c), &FilePart{Name: "share"}, func(w io.Writer) error {
		piece := make([]byte, 2*filePart+5)
		for i, size := range []int{1, 100, filePart - 1, 3, len(piece), 7, filePart, 64 << 10, len(piece), 2} {
			for k := range piece {
				piece[k] = byte(31*i + k/251)
			}
			want = append(want, piece[:size]...)
			if _, err := w.Write(piece[:size]); err != nil {
				return err
			}
		}
		clear(piece)
		return nil
	})
	if err != nil || id != "c1" {
		t.Fatalf("id %q, error %v", id, err)
	}
	if !bytes.Equal(store.got, want) {
		t.Errorf("%d bytes arrived, which are not the %d that were written", len(store.got), len(want))
	}
}
