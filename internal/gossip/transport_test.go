package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
)

// compound is a message of parts.
func compound(parts ...[]byte) []byte {
	b := []byte{gossipCompound, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return append(b, bytes.Join(parts, nil)...)
}

func TestCompressedPacketsAreDropped(t *testing.T) {
	bomb, ping, checked := []byte{gossipCompressed, 0x82, 1, 2}, []byte{0, 0x81}, []byte{gossipChecked, 1, 2, 3, 4}
	for _, c := range []struct {
		packet []byte
		want   bool
	}{
		{nil, false}, {ping, false}, {bomb, true}, {compound(ping, ping), false}, {compound(ping, bomb), true}, {compound(ping, compound(bomb)), true},
		{append(checked, bomb...), true}, {append(checked, ping...), false}, {append(checked, compound(ping, bomb)...), true},
		{checked[:3], false}, {[]byte{gossipCompound}, false}, {[]byte{gossipCompound, 200, 1}, false}, {compound(ping, bomb)[:7], false},
	} {
		if got := unpacks(c.packet); got != c.want {
			t.Errorf("%v: %v, want %v", c.packet, got, c.want)
		}
	}
}

func TestCompressedStreamsEnd(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go far.Write([]byte{gossipCompressed, 0x82})
	if _, err := (&unpacked{Conn: near}).Read(make([]byte, 10)); !errors.Is(err, errCompressed) {
		t.Error(err)
	}
	go far.Write([]byte{6, gossipCompressed})
	c, b := &unpacked{Conn: near}, make([]byte, 2)
	if n, err := c.Read(b); n == 0 || err != nil {
		t.Error(n, err)
	}
}

// FuzzUnpacks: whatever a packet, looking at it ends.
func FuzzUnpacks(f *testing.F) {
	f.Add(compound([]byte{gossipCompressed}, compound(compound([]byte{gossipChecked, 0, 0, 0, 0, gossipCompressed}))))
	f.Fuzz(func(_ *testing.T, packet []byte) { unpacks(packet) })
}
