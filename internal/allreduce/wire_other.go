//go:build !linux

package allreduce

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// wire is a socket between two processes of one host. It is built for Linux; elsewhere the frames go over gRPC.
type wire struct {
	boards bool
	held   func() bool
}

var errNoWires = errors.New("wires between processes need Linux")

func wireOf(net.Conn, bool) (*wire, error) { return nil, nil }
func wireable(net.Conn, bool) bool         { return false }
func overTLS(net.Conn) *tls.Conn           { return nil }

func (*wire) frame(*Header)                               {}
func (*wire) add([]byte)                                  {}
func (*wire) write() error                                { return errNoWires }
func (*wire) pending() bool                               { return false }
func (*wire) read(taker) (moved, blocked bool, err error) { return false, false, errNoWires }
func (*wire) await() bool                                 { return false }
func (*wire) local() bool                                 { return false }
func (*wire) broken() bool                                { return false }
func (*wire) close()                                      {}
func (*wire) hand(*Header, int) error                     { return errNoWires }

func (*wire) receive(context.Context, *Header) (int, error) { return -1, errNoWires }

func makeBoard(int) ([]byte, int, error)      { return nil, -1, errNoWires }
func mapBoard(int, int) ([]byte, error)       { return nil, errNoWires }
func unmapBoard([]byte)                       {}
func closeDescriptor(int)                     {}
func wakeAll(*atomic.Uint32)                  {}
func sleepUntil(*atomic.Uint32, uint32, bool) {}

type bell struct{}

func newBell() (*bell, error) { return nil, errNoWires }

func (*bell) ring()                        {}
func (*bell) close()                       {}
func (*bell) poll(_, _ *wire, _ bool) bool { return true }
