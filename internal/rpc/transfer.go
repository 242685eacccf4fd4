package rpc

import (
	"context"
	"errors"
	"io"
)

// filePart is how many bytes of a file travel in one message.
const filePart = 256 << 10

// SendFile sends a checkpoint file to the coordinator behind client and returns that coordinator's id. head names the
// file with its size and SHA-256; write produces its bytes.
func SendFile(ctx context.Context, client CoordinatorClient, head *FilePart, write func(io.Writer) error) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.PutFile(ctx)
	if err != nil {
		return "", err
	}
	if err := stream.Send(head); err == nil {
		w := &partWriter{stream: stream}
		if err := write(w); err != nil && w.failed == nil {
			return "", err
		}
		w.flush()
	}
	// Where sending failed, the answer says why.
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return "", err
	}
	return reply.Id, nil
}

// partWriter sends what is written to it in parts of moderate size.
type partWriter struct {
	stream Coordinator_PutFileClient
	buf    []byte
	failed error
}

func (w *partWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if len(w.buf) >= filePart {
		w.flush()
	}
	return len(p), w.failed
}

func (w *partWriter) flush() {
	if len(w.buf) > 0 && w.failed == nil {
		w.failed = w.stream.Send(&FilePart{Data: w.buf})
		w.buf = nil // the message may still be on its way
	}
}

// ReceiveFile reads a checkpoint file from the coordinator behind client into w.
func ReceiveFile(ctx context.Context, client CoordinatorClient, directory, name string, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.GetFile(ctx, &GetFileRequest{Directory: directory, Name: name})
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(part.Data); err != nil {
			return err
		}
	}
}
