//go:build netns

package netns

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// Two hosts with three workers each, which join in turn: the ring leaves each host once, and only what these two hops carry crosses the network.
func TestRingLeavesEachHostOnce(t *testing.T) {
	const steps = 60
	sets := append(jobSets(steps), "seats=6")
	want, err := train(sets)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: t.TempDir(), net: newNetwork(t)}
	c.certs = filepath.Join(c.dir, "certs")
	c.command("certs", "init", "--dir", c.certs)
	lead := c.add("c1", "coordinator", "h0", "10gbit")
	lead.args = append(lead.args, "--peers", lead.id+"="+lead.address())
	c.coordinators = []*node{lead}
	hosts := []*station{c.net.add("h1", "10gbit"), c.net.add("h2", "10gbit")}
	for i := range 2 * 3 {
		c.workers = append(c.workers, c.workerOn(hosts[i%2], fmt.Sprintf("w%d", i+1), firstPort+i/2))
	}
	c.start(slices.Concat(c.coordinators, c.workers)...)
	c.leader()
	across, within := sent(t, hosts, "eth0"), sent(t, hosts, "lo")
	j := c.submit(jobFile, sets...)
	j.reach(1, patience)
	ring := c.ring()
	s := j.end(afterwards)
	check(t, c, j, s, steps, want)
	crossings := 0
	for i, host := range ring {
		if host != ring[(i+1)%len(ring)] {
			crossings++
		}
	}
	if len(ring) != len(c.workers) || crossings != 2 {
		t.Errorf("the ring leaves a host %d times: %v", crossings, ring)
	}
	// All six hops carry the same, so what stays within the hosts is twice what goes across; a little goes to the coordinator besides.
	across, within = sent(t, hosts, "eth0")-across, sent(t, hosts, "lo")-within
	ratio := float64(within) / float64(across)
	t.Logf("%.1f MB went from host to host, %.1f MB stayed within; ring: %v", float64(across)/1e6, float64(within)/1e6, ring)
	if ratio < 1.6 || ratio > 2.2 {
		t.Errorf("%d bytes went from host to host, and %d stayed within: the ring has two hops of the one kind, and four of the other", across, within)
	}
}

// ring is the hosts of the workers that have seats, in the ring's order.
func (c *cluster) ring() (hosts []string) {
	c.t.Helper()
	s := c.status()
	if s == nil {
		c.t.Fatal("nobody leads")
	}
	workers := slices.DeleteFunc(s.Workers, func(w launch.WorkerStatus) bool { return w.Arc == nil })
	slices.SortFunc(workers, func(a, b launch.WorkerStatus) int { return cmp.Compare(a.Arc[0], b.Arc[0]) })
	for _, w := range workers {
		hosts = append(hosts, w.Host)
	}
	return hosts
}

// sent is how many bytes have gone out by a device of the stations so far.
func sent(t *testing.T, stations []*station, device string) (bytes int64) {
	t.Helper()
	for _, s := range stations {
		out, err := exec.Command("ip", "netns", "exec", s.namespace, "cat", "/sys/class/net/"+device+"/statistics/tx_bytes").Output()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		bytes += n
	}
	return bytes
}
