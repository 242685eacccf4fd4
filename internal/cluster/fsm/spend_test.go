package fsm

import (
	"errors"
	"fmt"
	"testing"
)

// A token is used by one machine, which may ask again; it is forgotten a day after it has expired, and snapshots hold it.
func TestTokensAreSpentOnce(t *testing.T) {
	s := &State{}
	spend := func(token, key string, expires, now int64) error {
		return s.Apply(Command{Spend: &Spend{Token: []byte(token), Key: []byte(key), Expires: expires, Now: now}})
	}
	if err := spend("a", "k1", 100, 1); err != nil {
		t.Fatal(err)
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Decode(data); err != nil {
		t.Fatal(err)
	}
	if err := spend("a", "k1", 100, 2); err != nil {
		t.Errorf("asked again by the same machine: %v", err)
	}
	if err := spend("a", "k2", 100, 3); !errors.Is(err, ErrSpent) {
		t.Errorf("used by another machine: %v", err)
	}
	if err := spend("b", "k2", 200, 101+spentKept); err != nil || len(s.Spent) != 1 {
		t.Errorf("another token: %v, %d are remembered", err, len(s.Spent))
	}
	for i := range maxSpent - 1 {
		s.Spent = append(s.Spent, Spend{Token: fmt.Appendf(nil, "t%d", i), Expires: 1 << 40})
	}
	if err := spend("c", "k", 300, 102+spentKept); err == nil {
		t.Error("more are remembered than may be")
	}
}
