package port

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"ringmaster/internal/certs"
)

// Answers to a port that asks whether it has reached itself.
const (
	selfYes = 'Y'
	selfNo  = 'N'
)

// ErrElsewhere means that an address leads to another process than the one that advertises it.
var ErrElsewhere = errors.New("another process answers there")

// Reach reports whether an address leads to this very port: nil when it does. It is how a wrong advertised address is
// noticed at the start, instead of when the others wait for it.
func (p *Port) Reach(ctx context.Context, address string) error {
	var own certs.Role
	if p.cfg.Identity != nil {
		own = p.cfg.Identity.Role
	}
	conn, err := p.open(ctx, address, own, false)
	if errors.As(err, new(*tls.CertificateVerificationError)) {
		return fmt.Errorf("reach %s: %w, with a certificate that is not this cluster's", address, ErrElsewhere)
	}
	if err != nil {
		return fmt.Errorf("reach %s: %w", address, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write(append([]byte{firstSelf}, p.self[:]...)); err != nil {
		return fmt.Errorf("reach %s: %w", address, err)
	}
	var answer [1]byte
	_, err = io.ReadFull(conn, answer[:])
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("reach %s: %w", address, context.Cause(ctx))
	case err != nil || answer[0] != selfYes:
		return fmt.Errorf("reach %s: %w", address, ErrElsewhere)
	}
	return nil
}

// answerSelf answers a port that asks whether it has reached itself.
func (p *Port) answerSelf(conn net.Conn) error {
	var who [len(p.self)]byte
	if _, err := io.ReadFull(conn, who[:]); err != nil {
		return fmt.Errorf("waiting for what it calls itself: %w", err)
	}
	answer := byte(selfNo)
	if bytes.Equal(who[:], p.self[:]) {
		answer = selfYes
	}
	if _, err := conn.Write([]byte{answer}); err != nil {
		return fmt.Errorf("answer it: %w", err)
	}
	if answer == selfNo {
		return errors.New("it takes this port for its own; its advertised address is wrong")
	}
	return errSelf
}
