package certs

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"
)

// A token that names an id is used as the coordinators allow, by the key that uses it; one without an id is not remembered.
func TestTokensThatNameAnID(t *testing.T) {
	a, _ := authority(t)
	used := map[[sha256.Size]byte][sha256.Size]byte{}
	spend := func(token [sha256.Size]byte, _ time.Time, key [sha256.Size]byte) error {
		if by, twice := used[token]; twice && by != key {
			return errors.New("it has been used")
		}
		used[token] = key
		return nil
	}
	ask := func(token, id string) *enrollRequest {
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return &enrollRequest{Token: token, ID: id, Request: request}
	}
	named, err := a.Token(Peer{Worker, "w1"}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	first := ask(named, "w1")
	for _, r := range []*enrollRequest{first, first} {
		if _, _, err := a.answer(r, now, spend); err != nil {
			t.Errorf("the machine that uses it: %v", err)
		}
	}
	if _, _, err := a.answer(ask(named, "w1"), now, spend); err == nil || !strings.Contains(err.Error(), "has been used") {
		t.Errorf("another machine: %v", err)
	}
	open, err := a.Token(Peer{Worker, ""}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"w2", "w3"} {
		if _, _, err := a.answer(ask(open, id), now, spend); err != nil {
			t.Errorf("%s by a token for all: %v", id, err)
		}
	}
	if len(used) != 1 {
		t.Errorf("%d tokens are remembered", len(used))
	}
}
