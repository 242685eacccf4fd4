package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"ringmaster/internal/port"
)

// maxPacket is the largest UDP packet.
const maxPacket = 1 << 16

// transport carries memberlist's packets and streams over the port.
type transport struct {
	port    *port.Port
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

var _ memberlist.Transport = (*transport)(nil)

func newTransport(p *port.Port) *transport {
	t := &transport{port: p, packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn), done: make(chan struct{})}
	t.running.Go(t.readPackets)
	t.running.Go(t.acceptStreams)
	return t
}

func (t *transport) readPackets() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := t.port.Packets().ReadFrom(buf)
		now := time.Now()
		select {
		case <-t.done:
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of an earlier packet, say; if it is worse, do not spin
			select {
			case <-time.After(10 * time.Millisecond):
			case <-t.done:
			}
			continue
		}
		if n == 0 || unpacks(buf[:n]) {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte{}, buf[:n]...), From: from, Timestamp: now}
		select {
		case t.packets <- p:
		case <-t.done:
			return
		}
	}
}

func (t *transport) acceptStreams() {
	for {
		conn, err := t.port.Gossip().Accept()
		if err != nil {
			return
		}
		select {
		case t.streams <- &unpacked{Conn: conn}:
		case <-t.done:
			conn.Close()
			return
		}
	}
}

// memberlist's kinds of messages that matter here.
const (
	gossipCompound   = 7
	gossipCompressed = 9
	gossipChecked    = 12 // four bytes of a checksum, then a message
)

// unpacks reports whether a packet holds a compressed message. Nobody here compresses (see listConfig), and a packet of 64 KiB could
// unpack to gigabytes in the hands of a stranger, where gossip has no key. With a key no packet of a stranger comes so far.
func unpacks(packet []byte) bool {
	for len(packet) > 0 {
		switch packet[0] {
		case gossipCompressed:
			return true
		case gossipChecked:
			packet = packet[min(5, len(packet)):]
			continue
		case gossipCompound:
			return slices.ContainsFunc(parts(packet[1:]), unpacks)
		}
		return false
	}
	return false
}

// parts splits a compound message: their number, the length of each in two bytes, and the parts.
func parts(b []byte) (all [][]byte) {
	if len(b) == 0 || len(b)-1 < 2*int(b[0]) {
		return nil
	}
	lengths, rest := b[1:1+2*int(b[0])], b[1+2*int(b[0]):]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		n := min(int(binary.BigEndian.Uint16(lengths)), len(rest))
		all = append(all, rest[:n])
		rest = rest[n:]
	}
	return all
}

// errCompressed ends a stream that begins with a compressed message.
var errCompressed = errors.New("its message is compressed, which nobody does here")

// unpacked is a stream of gossip that holds no compressed message.
type unpacked struct {
	net.Conn
	begun bool
}

// Read reads, and looks at the first byte: the kind of the stream's message.
func (c *unpacked) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.begun && n > 0 {
		c.begun = true
		if b[0] == gossipCompressed {
			return 0, errCompressed
		}
	}
	return n, err
}

// FinalAdvertiseAddr takes the configured address: Start has resolved it.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	parsed := net.ParseIP(ip)
	if parsed == nil {
		return nil, 0, fmt.Errorf("%q is not an IP address", ip)
	}
	if v4 := parsed.To4(); v4 != nil {
		parsed = v4
	}
	return parsed, port, nil
}

// WriteTo sends a packet.
func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.port.Packets().WriteTo(b, to)
	return time.Now(), err
}

// PacketCh gives the packets that come in.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout opens a stream.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.port.DialGossip(address, timeout)
}

// StreamCh gives the streams that come in.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown ends the transport; the port stays open, but carries no gossip any more.
func (t *transport) Shutdown() error {
	t.once.Do(func() {
		close(t.done)
		t.port.Packets().SetReadDeadline(time.Now()) // wakes readPackets
		t.port.Gossip().Close()
	})
	t.running.Wait()
	return nil
}
