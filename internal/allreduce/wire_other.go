//go:build !linux

package allreduce

import (
	"errors"
	"net"
)

// wire is a socket between two processes of one host. It is built for Linux; elsewhere the frames go over gRPC.
type wire struct{}

var errNoWires = errors.New("wires between processes need Linux")

func wireOf(net.Conn) (*wire, error) { return nil, nil }
func wireable(net.Conn) bool         { return false }

func (*wire) frame(*Header)                               {}
func (*wire) add([]byte)                                  {}
func (*wire) write() error                                { return errNoWires }
func (*wire) pending() bool                               { return false }
func (*wire) read(taker) (moved, blocked bool, err error) { return false, false, errNoWires }
func (*wire) await() bool                                 { return false }
func (*wire) close()                                      {}

type bell struct{}

func newBell() (*bell, error) { return nil, errNoWires }

func (*bell) ring()                        {}
func (*bell) close()                       {}
func (*bell) poll(_, _ *wire, _ bool) bool { return true }
