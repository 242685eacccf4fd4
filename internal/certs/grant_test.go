package certs

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A machine gets a certificate from the authority itself; its key is its own.
func TestAnAuthorityGrantsARequest(t *testing.T) {
	now := time.Now()
	a, err := Init(filepath.Join(t.TempDir(), "ca"), now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Init(filepath.Join(t.TempDir(), "ca"), now)
	if err != nil {
		t.Fatal(err)
	}
	holder := Peer{Worker, "node1-w1"}
	r, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	g, err := a.Grant(holder, r.DER, now)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "certs")
	if err := r.Accept(dir, g, holder, now); err != nil {
		t.Fatal(err)
	}
	i, err := LoadAs(dir, Worker, now)
	if err != nil || i.ID != holder.ID || i.Fingerprint() != a.Fingerprint() || len(i.GossipKey) != secretBytes {
		t.Errorf("%+v, %v", i, err)
	}

	strange, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	foreign := *g
	foreign.Authority = other.cert.Raw
	for name, err := range map[string]error{
		"another's key":       strange.Accept(filepath.Join(t.TempDir(), "x"), g, holder, now),
		"another's name":      r.Accept(filepath.Join(t.TempDir(), "x"), g, Peer{Worker, "node2-w1"}, now),
		"another authority":   r.Accept(filepath.Join(t.TempDir(), "x"), &foreign, holder, now),
		"no authority":        r.Accept(filepath.Join(t.TempDir(), "x"), &Grant{}, holder, now),
		"a folder that is in": r.Accept(dir, g, holder, now),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	changed := append([]byte(nil), r.DER...)
	changed[len(changed)-1] ^= 1
	if _, err := a.Grant(holder, changed, now); err == nil || !strings.Contains(err.Error(), "certificate request") {
		t.Errorf("a changed request: %v", err)
	}
}
