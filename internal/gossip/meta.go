package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"

	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
)

// What gossip says of a member:
//
//	version (1) | role (1) | incarnation (8, big-endian) | id length (1) | id | address length (1) | address
const (
	metaVersion = 1
	metaHeader  = 1 + 1 + 8
	maxID       = 64
	maxAddress  = 255
)

// encodeMeta writes a member's description, at most 330 bytes: more than memberlist.MetaMaxSize would panic there.
func encodeMeta(m Node) ([]byte, error) {
	switch {
	case m.ID == "" || len(m.ID) > maxID:
		return nil, fmt.Errorf("a member's id has 1 to %d bytes, %q has %d", maxID, m.ID, len(m.ID))
	case len(m.API) > maxAddress:
		return nil, fmt.Errorf("a member's address has at most %d bytes, not %d", maxAddress, len(m.API))
	case m.Role != Coordinator && m.Role != Worker:
		return nil, fmt.Errorf("%v is unknown", m.Role)
	}
	b := make([]byte, 0, memberlist.MetaMaxSize)
	b = append(b, metaVersion, byte(m.Role))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Incarnation))
	b = append(append(b, byte(len(m.ID))), m.ID...)
	return append(append(b, byte(len(m.API))), m.API...), nil
}

// decodeMeta reads what encodeMeta wrote. Bytes after it are left to later versions.
func decodeMeta(b []byte) (Node, error) {
	if len(b) < metaHeader {
		return Node{}, fmt.Errorf("its description has %d bytes, fewer than %d", len(b), metaHeader)
	}
	if b[0] != metaVersion {
		return Node{}, fmt.Errorf("its description has version %d, this program reads %d", b[0], metaVersion)
	}
	m := Node{Role: Role(b[1]), Incarnation: plan.Incarnation(binary.BigEndian.Uint64(b[2:]))}
	id, rest, ok := cutText(b[metaHeader:])
	if !ok || id == "" || len(id) > maxID {
		return Node{}, errors.New("its description has no id of a legal length")
	}
	address, _, ok := cutText(rest)
	if !ok {
		return Node{}, errors.New("its description ends within the address")
	}
	if m.Role != Coordinator && m.Role != Worker {
		return Node{}, fmt.Errorf("%v is unknown", m.Role)
	}
	if err := certs.CheckID(id); err != nil {
		return Node{}, fmt.Errorf("its description: %w", err)
	}
	if printable.Line(address, maxAddress) != address {
		return Node{}, errors.New("its description has no address that can be shown")
	}
	m.ID, m.API = id, address
	return m, nil
}

// cutText takes a text with a length byte before it off b.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}
