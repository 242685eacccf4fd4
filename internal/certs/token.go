package certs

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A token lets whoever holds it get a certificate of one role until it expires. It is prefix and, in base64url:
//
//	role (1) | expiry (8, Unix seconds, big-endian) | nonce (8) | id length (1) | id | SHA-256 of the authority's certificate (32) | MAC (32)
//
// The MAC is HMAC-SHA256 with the authority's token key over all before it. An id of length 0 leaves it to the holder.
// A token that names an id works once: the coordinators remember it until it expires (see Spend). One without can be used by several
// machines while it is valid.
const (
	tokenPrefix = "ringmaster1."
	tokenFixed  = 1 + 8 + 8 + 1 + sha256.Size + sha256.Size
	maxToken    = 512 // characters

	// DefaultTokenTime and MaxTokenTime are how long a token is valid.
	DefaultTokenTime = time.Hour
	MaxTokenTime     = 7 * 24 * time.Hour
)

// Token is what a token says.
type Token struct {
	Holder    Peer // ID may be empty: the holder chooses
	Expires   time.Time
	Authority [sha256.Size]byte // fingerprint
}

// ErrToken is wrapped by errors of tokens that are not valid.
var ErrToken = errors.New("the token is not valid")

// Token makes a token.
func (a *Authority) Token(holder Peer, validFor time.Duration, now time.Time) (string, error) {
	role := roleNumber(holder.Role)
	if role == 0 {
		return "", fmt.Errorf("make a token: %q is no role", holder.Role)
	}
	if holder.ID != "" {
		if err := CheckID(holder.ID); err != nil {
			return "", fmt.Errorf("make a token: %w", err)
		}
	}
	if validFor < time.Second || validFor > MaxTokenTime {
		return "", fmt.Errorf("make a token: it is valid for 1s to %v, not %v", MaxTokenTime, validFor)
	}
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails, see crypto/rand
	fingerprint := a.Fingerprint()
	b := make([]byte, 0, tokenFixed+maxID)
	b = append(b, role)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Add(validFor).Unix()))
	b = append(b, nonce[:]...)
	b = append(append(b, byte(len(holder.ID))), holder.ID...)
	b = append(b, fingerprint[:]...)
	b = append(b, a.mac(b)...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

func (a *Authority) mac(b []byte) []byte {
	h := hmac.New(sha256.New, a.tokenKey)
	h.Write([]byte(tokenPrefix))
	h.Write(b)
	return h.Sum(nil)
}

func roleNumber(role Role) byte {
	for i, r := range Roles {
		if r == role {
			return byte(i + 1)
		}
	}
	return 0
}

// ParseToken reads a token without being able to tell whether it is genuine: what a machine knows that brings it.
func ParseToken(text string) (Token, error) {
	t, _, _, err := splitToken(text)
	return t, err
}

func splitToken(text string) (t Token, signed, mac []byte, err error) {
	text = strings.TrimSpace(text)
	encoded, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) > maxToken {
		return Token{}, nil, nil, fmt.Errorf("%w: it does not begin with %s", ErrToken, tokenPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) < tokenFixed || len(b) != tokenFixed+int(b[17]) || int(b[17]) > maxID {
		return Token{}, nil, nil, fmt.Errorf("%w: it was cut or changed", ErrToken)
	}
	if b[0] == 0 || int(b[0]) > len(Roles) {
		return Token{}, nil, nil, fmt.Errorf("%w: it names no role", ErrToken)
	}
	id := string(b[18 : 18+int(b[17])])
	if id != "" && CheckID(id) != nil {
		return Token{}, nil, nil, fmt.Errorf("%w: its id is none", ErrToken)
	}
	t = Token{Holder: Peer{Roles[b[0]-1], id}, Expires: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0)}
	signed, mac = b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	copy(t.Authority[:], signed[len(signed)-sha256.Size:])
	return t, signed, mac, nil
}

// check reads a token of this authority that is valid now.
func (a *Authority) check(text string, now time.Time) (Token, error) {
	t, signed, mac, err := splitToken(text)
	if err != nil {
		return Token{}, err
	}
	if !hmac.Equal(mac, a.mac(signed)) {
		return Token{}, fmt.Errorf("%w: this authority has not made it", ErrToken)
	}
	if !now.Before(t.Expires) {
		return Token{}, fmt.Errorf("%w: it expired at %s; make another: ringmaster certs token", ErrToken, t.Expires.UTC().Format(time.RFC3339))
	}
	return t, nil
}
