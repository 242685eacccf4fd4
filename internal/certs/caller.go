package certs

import (
	"context"
	"errors"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// CallerOf reads from the context of a gRPC call whose certificate the caller has shown, and from where it calls. Callers by a unix
// socket are processes of this user, nobody in particular: the zero Peer. A caller without TLS is an error.
func CallerOf(ctx context.Context) (who Peer, address string, err error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return who, "", errors.New("a caller without a connection")
	}
	if p.Addr.Network() == "unix" {
		return who, "unix socket", nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return who, p.Addr.String(), errors.New("a caller without TLS")
	}
	who, err = Caller(info.State)
	return who, p.Addr.String(), err
}

// WorkerOf is the id in the certificate of the worker that calls; ok is false for callers of other roles and for those that have
// shown no certificate, which come by loopback or a socket alone.
func WorkerOf(ctx context.Context) (id string, ok bool) {
	who, _, err := CallerOf(ctx)
	return who.ID, err == nil && who.Role == Worker
}
