package node

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCoordinatorsAreOnDifferentNodes(t *testing.T) {
	for nodes, want := range map[string][]int{
		"a":         {0},
		"a a b b":   {0},
		"a b c":     {0, 1, 2},
		"a a b b c": {0, 2, 4},
		"a b c d e": {0, 1, 2},
	} {
		var places []place
		for _, n := range strings.Fields(nodes) {
			places = append(places, place{Node: n})
		}
		if got := coordinators(places); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", nodes, got, want)
		}
	}
}

// TestAddresses looks for the address at which other nodes reach this one, whose interfaces are a loopback, a management network and a fast one.
func TestAddresses(t *testing.T) {
	lo, slow, fast := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.9.0.7")
	none := errors.New("no route")
	for name, c := range map[string]struct {
		asked string
		nodes []string
		names map[string][]netip.Addr
		route map[netip.Addr]netip.Addr
		want  netip.Addr
	}{
		"an interface is named": {"ib0", []string{"n1", "n2"}, nil, nil, fast},
		"an address is named":   {"10.0.0.7", []string{"n1", "n2"}, nil, nil, slow},
		"alone":                 {"", []string{"n1"}, nil, nil, lo},
		"its own name":          {"", []string{"n1", "n2"}, map[string][]netip.Addr{"n1": {fast}}, nil, fast},
		"its own name is loopback, as Debian's": {"", []string{"n1", "n2"}, map[string][]netip.Addr{"n1": {lo}, "n2": {netip.MustParseAddr("10.9.0.8")}},
			map[netip.Addr]netip.Addr{netip.MustParseAddr("10.9.0.8"): fast}, fast},
		"its own name is another machine's": {"", []string{"n1", "n2"}, map[string][]netip.Addr{"n1": {netip.MustParseAddr("10.1.1.1")}},
			map[netip.Addr]netip.Addr{netip.MustParseAddr("192.0.2.1"): slow}, slow},
		"nothing is known": {"", []string{"n1", "n2"}, nil, nil, netip.Addr{}},
	} {
		n := network{
			own: func() []netip.Addr { return []netip.Addr{lo, slow, fast} },
			of: func(name string) ([]netip.Addr, error) {
				if name != "ib0" {
					return nil, none
				}
				return []netip.Addr{fast}, nil
			},
			lookup: func(_ context.Context, name string) ([]netip.Addr, error) { return c.names[name], nil },
			toward: func(to netip.Addr) (netip.Addr, error) {
				if from, ok := c.route[to]; ok {
					return from, nil
				}
				return netip.Addr{}, none
			},
		}
		got, err := n.reachable(t.Context(), c.asked, "n1", c.nodes)
		if got != c.want || (err == nil) != c.want.IsValid() {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	if _, err := machine().asked("no-such-interface"); err == nil || !strings.Contains(err.Error(), "--interface: no-such-interface is neither") {
		t.Errorf("an interface that is not there: %v", err)
	}
}

func TestTasksMeet(t *testing.T) {
	m := meeting(filepath.Join(t.TempDir(), "a", "b"))
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := m.publish(taskFile(1), place{Node: "b", Address: "10.0.0.2", Port: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.places(short, 2); err == nil || !strings.Contains(err.Error(), "1 of 2 tasks have not come") || !strings.Contains(err.Error(), "task 0") {
		t.Errorf("one of two: %v", err)
	}
	if err := m.publish(taskFile(0), place{Node: "a", Address: "10.0.0.1", Port: 8}); err != nil {
		t.Fatal(err)
	}
	places, err := m.places(t.Context(), 2)
	if err != nil || places[0].Node != "a" || places[1].coordinator() != "10.0.0.2:7" {
		t.Errorf("%+v, %v", places, err)
	}
	if name, err := m.await(t.Context(), planFile, taskFile(1)); err != nil || name != taskFile(1) {
		t.Errorf("%s, %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(string(m), planFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.read(planFile, &plan{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged plan: %v", err)
	}
}
