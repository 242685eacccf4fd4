package lobby

import (
	"net"
	"slices"
	"testing"
)

func from(address string) net.Addr {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		panic(err)
	}
	return at
}

func TestOldestOfTheLargestSourceGivesWay(t *testing.T) {
	l := New(4, 3)
	var out []string
	enter := func(name, address string) *Guest {
		return l.Enter(from(address), func() { out = append(out, name) })
	}
	expect := func(names ...string) {
		t.Helper()
		if !slices.Equal(out, names) {
			t.Errorf("put out: %v, want %v", out, names)
		}
		out = nil
	}
	flood1 := enter("flood1", "10.0.0.1:1")
	enter("flood2", "10.0.0.1:2")
	enter("flood3", "10.0.0.1:3")
	expect()
	enter("flood4", "10.0.0.1:4") // one too many of its source
	expect("flood1")
	if l.Leave(flood1) {
		t.Error("a process that was put out has left")
	}
	honest := enter("honest", "10.0.0.2:1")
	expect()
	other := enter("other", "10.0.0.3:1") // one too many of all
	expect("flood2")
	enter("flood5", "10.0.0.1:5") // fewer than a source may have, but too many of all
	expect("flood3")
	if !l.Leave(honest) || !l.Leave(other) || l.Leave(other) || l.Len() != 2 {
		t.Errorf("%d are left", l.Len())
	}
	l.Close()
	if slices.Sort(out); !slices.Equal(out, []string{"flood4", "flood5"}) || l.Len() != 0 || enter("late", "10.0.0.4:1") != nil {
		t.Errorf("closing put out %v", out)
	}
}

func TestConnectionsOfOneNetworkHaveOneSource(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"10.0.0.1:1", "10.0.0.1"}, {"[::ffff:10.0.0.1]:2", "10.0.0.1"},
		{"[2001:db8:1:2:3::1]:1", "2001:db8:1:2::/64"}, {"[2001:db8:1:2:4::9]:1", "2001:db8:1:2::/64"}, {"[fe80::1%1]:1", "fe80::/64"},
	} {
		if got := source(from(c.address)); got != c.want {
			t.Errorf("%s is of %s, want %s", c.address, got, c.want)
		}
	}
	if got := source(&net.UnixAddr{Name: "s", Net: "unix"}); got != "unix" {
		t.Error(got)
	}
}
