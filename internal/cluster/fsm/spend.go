package fsm

import (
	"bytes"
	"errors"
	"slices"
)

// Spend notes that a join token which names its holder has been used. Only the machine that used it, which its key tells, may use it
// again: the answer may have been lost.
type Spend struct {
	Token   []byte `json:"token"`   // SHA-256
	Key     []byte `json:"key"`     // SHA-256 of the public key that got the certificate
	Expires int64  `json:"expires"` // Unix seconds; until then the token must be remembered
	Now     int64  `json:"now"`     // of the proposer
}

// Bounds on the tokens that are remembered.
const (
	maxSpent  = 10_000
	spentKept = 24 * 3600 // seconds after a token has expired: clocks differ
)

// ErrSpent means that a token has been used by another machine.
var ErrSpent = errors.New("the token has been used: one that names an id works once; make another (ringmaster certs token)")

// spend takes a token in that nobody has used.
func (s *State) spend(c *Spend) error {
	for _, t := range s.Spent {
		if bytes.Equal(t.Token, c.Token) {
			if bytes.Equal(t.Key, c.Key) {
				return nil
			}
			return ErrSpent
		}
	}
	kept := slices.DeleteFunc(slices.Clone(s.Spent), func(t Spend) bool { return t.Expires+spentKept < c.Now })
	if len(kept) >= maxSpent {
		return errors.New("too many tokens have been used lately; try again when some have expired")
	}
	s.Spent = append(kept, *c)
	return nil
}
