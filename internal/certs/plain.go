package certs

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// ErrInsecure means that a process without certificates was to speak to other machines.
var ErrInsecure = errors.New("without certificates only loopback addresses are spoken to: make some (ringmaster certs init; ringmaster certs node ID --role ROLE) and name their folder by --certs")

// DialPlain connects in plain text, for processes without certificates: to loopback addresses only. Another one is
// refused before anything is sent, whatever name it was given by.
func DialPlain(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(resolved); err != nil || !net.ParseIP(host).IsLoopback() {
			return ErrInsecure
		}
		return nil
	}}
	return d.DialContext(ctx, "tcp", address)
}
