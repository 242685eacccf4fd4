package allreduce

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"unsafe"
)

// A wire between members with certificates is encrypted. Its connection begins with a TLS handshake, in which both show their certificates, and with hello
// and accept under TLS. Then the frames go in records of our own over the same socket, under a key that TLS exports for it (RFC 8446, section 7.5): a
// gradient is encrypted from where it is, and decrypted to where it belongs, while crypto/tls would copy it three times more. A record is
//
//	length of the text (4, little-endian) | AES-128-GCM of the text | tag (16)
//
// with the length as additional data and the number of the record as nonce. A wire carries frames in one direction only, so one key is enough; it is
// replaced every keyRecords records.

const (
	maxText    = 64 << 10 // of a record
	tagLen     = 16
	recordHead = 4
	// keyRecords bounds what one key encrypts: 2^20 records of 64 KiB are within the bound for AES-GCM in RFC 8446, section 5.5.
	keyRecords = 1 << 20
	// sealedAtOnce is from how many bytes on nothing more is encrypted before the system has taken them: few enough to stay in the second-level cache.
	sealedAtOnce = 128 << 10
	// ownRecord is from how many bytes on a piece has records of its own; smaller ones are copied together.
	ownRecord = 4 << 10
)

// errForged says that a record is not what the other end has sent.
var errForged = errors.New("a record of its connection was changed on the way")

// keys are the keys of a wire's records, one after another.
type keys struct {
	secret []byte
	aead   cipher.AEAD
	count  uint64
	nonce  [12]byte
}

// exported derives the first key from a TLS connection, alike on both sides.
func exported(conn *tls.Conn) (*keys, error) {
	state := conn.ConnectionState()
	secret, err := state.ExportKeyingMaterial("EXPORTER-ringmaster-wire", nil, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive a key for the wire: %w", err)
	}
	k := &keys{secret: secret}
	return k, k.renew()
}

// renew makes the next key.
func (k *keys) renew() error {
	key, err := hkdf.Expand(sha256.New, k.secret, "key", 16)
	if err != nil {
		return err
	}
	if k.secret, err = hkdf.Expand(sha256.New, k.secret, "next", sha256.Size); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	k.aead, err = cipher.NewGCM(block)
	return err
}

// next is the nonce of the next record.
func (k *keys) next() ([]byte, error) {
	if k.count > 0 && k.count%keyRecords == 0 {
		if err := k.renew(); err != nil {
			return nil, err
		}
	}
	binary.LittleEndian.PutUint64(k.nonce[:], k.count)
	k.count++
	return k.nonce[:], nil
}

// sealed is the encrypted side of a wire.
type sealed struct {
	fd   int
	keys *keys

	going   []byte // encrypted, not written
	written int    // of going
	small   []byte // pieces that become one record

	coming     []byte // read, not decrypted
	begin, end int    // of what coming holds
	text       []byte // a decrypted record
	left       []byte // of text, what nobody has taken yet
}

func newSealed(conn *tls.Conn, fd int) (*sealed, error) {
	k, err := exported(conn)
	const record = recordHead + maxText + tagLen
	return &sealed{fd: fd, keys: k, going: slices.Grow([]byte(nil), sealedAtOnce+record), small: make([]byte, 0, maxText),
		coming: make([]byte, sealedAtOnce+record), text: make([]byte, 0, maxText)}, err
}

// seal encrypts pieces until enough is to be written. It says how many pieces are used up; what is left of the next one stays in it.
func (s *sealed) seal(pieces []syscall.Iovec) (used int, err error) {
	for used < len(pieces) && len(s.going) < sealedAtOnce && err == nil {
		b := unsafe.Slice(pieces[used].Base, int(pieces[used].Len))
		switch {
		case len(b) < ownRecord && len(s.small)+len(b) <= maxText:
			s.small = append(s.small, b...)
		case len(s.small) > 0:
			err = s.gather()
			continue
		default:
			b = b[:min(len(b), maxText)]
			err = s.record(b)
		}
		used += passed(pieces[used:], len(b))
	}
	if err == nil {
		err = s.gather()
	}
	return used, err
}

// gather makes a record of the small pieces.
func (s *sealed) gather() error {
	if len(s.small) == 0 {
		return nil
	}
	err := s.record(s.small)
	s.small = s.small[:0]
	return err
}

// record encrypts a text.
func (s *sealed) record(text []byte) error {
	nonce, err := s.keys.next()
	if err != nil {
		return err
	}
	at := len(s.going)
	s.going = binary.LittleEndian.AppendUint32(s.going, uint32(len(text)))
	s.going = s.keys.aead.Seal(s.going, nonce, text, s.going[at:at+recordHead])
	return nil
}

// flush writes as much as the system takes.
func (s *sealed) flush() (n int, errno syscall.Errno) {
	if s.written == len(s.going) {
		return 0, 0
	}
	piece := [1]syscall.Iovec{{Base: &s.going[s.written]}}
	piece[0].SetLen(len(s.going) - s.written)
	if n, errno = transfer(syscall.SYS_WRITEV, s.fd, piece[:]); errno == syscall.EINTR {
		return 0, 0
	}
	if s.written += n; s.written == len(s.going) {
		s.going, s.written = s.going[:0], 0
	}
	return n, errno
}

// writeSealed is write for a wire that is encrypted. unsent counts what is not encrypted, and what is and has not been written.
func (w *wire) writeSealed() error {
	s, first := w.sealed, 0
	for {
		if w.rejected.Load() || w.ended {
			s.going, s.written = s.going[:0], 0
			w.drop()
			return io.EOF
		}
		if w.held != nil && w.held() {
			break
		}
		n, errno := s.flush()
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 {
			w.rejected.Store(true)
			continue
		}
		if w.unsent.Add(-int64(n)); len(s.going) > 0 {
			continue
		}
		if first == len(w.batch) {
			break
		}
		plain := lengthOf(w.batch[first:])
		used, err := s.seal(w.batch[first:])
		first += used
		w.unsent.Add(int64(len(s.going) - plain + lengthOf(w.batch[first:])))
		if err != nil {
			w.rejected.Store(true)
		}
	}
	w.keep(first)
	return nil
}

// lengthOf is how many bytes pieces have.
func lengthOf(pieces []syscall.Iovec) (n int) {
	for i := range pieces {
		n += int(pieces[i].Len)
	}
	return n
}

// fillSealed is fill for a wire that is encrypted.
func (w *wire) fillSealed() (straight, n int, err error) {
	s := w.sealed
	var place []byte
	if w.located {
		place = w.place[w.filled:]
	}
	w.begin, w.end = 0, 0
	if len(s.left) == 0 {
		if straight, err = s.open(place); straight > 0 || err != nil {
			return straight, straight, err
		}
	}
	if w.located {
		straight = copy(place, s.left)
		s.left = s.left[straight:]
		return straight, straight, nil
	}
	w.end = copy(w.ahead[:], s.left)
	s.left = s.left[w.end:]
	return 0, w.end, nil
}

// open decrypts the next record, once it has come: into place if it fits, and says how long it is, else it is left.
func (s *sealed) open(place []byte) (straight int, err error) {
	length := -1
	for {
		have := s.end - s.begin
		if have >= recordHead {
			if length = int(binary.LittleEndian.Uint32(s.coming[s.begin:])); length < 1 || length > maxText {
				return 0, errForged
			}
			if have >= recordHead+length+tagLen {
				break
			}
		}
		if more, err := s.read(); !more {
			return 0, err
		}
	}
	nonce, err := s.keys.next()
	if err != nil {
		return 0, err
	}
	head := s.coming[s.begin : s.begin+recordHead]
	record := s.coming[s.begin+recordHead:][:length+tagLen]
	s.begin += recordHead + length + tagLen
	into := s.text
	if length <= len(place) {
		into, straight = place[:0], length
	}
	text, err := s.keys.aead.Open(into, nonce, record, head)
	if err != nil {
		return 0, errForged
	}
	if straight == 0 {
		s.left = text
	}
	return straight, nil
}

// read reads what is there, behind what coming holds.
func (s *sealed) read() (more bool, err error) {
	if s.begin > 0 {
		s.begin, s.end = 0, copy(s.coming, s.coming[s.begin:s.end])
	}
	piece := [1]syscall.Iovec{{Base: &s.coming[s.end]}}
	piece[0].SetLen(len(s.coming) - s.end)
	n, errno := transfer(syscall.SYS_READV, s.fd, piece[:])
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return false, nil
	case errno != 0 || n == 0:
		return false, errWireEnded
	}
	s.end += n
	return true, nil
}

// socket is a connection of the operating system.
type socket interface {
	net.Conn
	SyscallConn() (syscall.RawConn, error)
}

// layers are what a connection is made of.
type layers struct {
	socket socket
	tls    *tls.Conn // nil: none
	held   func() bool
}

// layersOf takes a connection apart; ok: it can be a wire. Where the members have certificates, a TCP connection without TLS cannot.
func layersOf(conn net.Conn, secure bool) (l layers, ok bool) {
	for {
		switch c := conn.(type) {
		case *net.UnixConn:
			l.socket = c
			return l, l.tls == nil
		case *net.TCPConn:
			l.socket = c
			return l, !secure || l.tls != nil
		case *tls.Conn:
			l.tls, conn = c, c.NetConn()
		case holding:
			l.held, conn = c.Held, c.NetConn()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return l, false
		}
	}
}

// overTLS is the TLS connection below; nil: there is none.
func overTLS(conn net.Conn) *tls.Conn {
	l, _ := layersOf(conn, false)
	return l.tls
}
