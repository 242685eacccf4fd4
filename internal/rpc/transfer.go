package rpc

import (
	"bufio"
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
		parts := &partSender{stream: stream}
		w := bufio.NewWriterSize(parts, filePart)
		err := write(w)
		if err == nil {
			err = w.Flush()
		}
		if err != nil && !parts.failed {
			return "", err
		}
	}
	// Where sending failed, the answer says why.
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return "", err
	}
	return reply.Id, nil
}

// partSender sends what is written to it, at most filePart bytes at a time. Send returns when gRPC has encoded the message, so
// the bytes are the writer's again.
type partSender struct {
	stream Coordinator_PutFileClient
	failed bool
}

func (s *partSender) Write(p []byte) (int, error) {
	if err := s.stream.Send(&FilePart{Data: p}); err != nil {
		s.failed = true
		return 0, err
	}
	return len(p), nil
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
