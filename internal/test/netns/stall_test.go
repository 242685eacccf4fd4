//go:build netns

package netns

import (
	"slices"
	"testing"
	"time"
)

// A worker's frames to the next one in the ring do not arrive, while both answer the leader and the other way is open.
// The status names both while nobody has given up yet, and the job reaches the same bits.
func TestPartitionIsNamed(t *testing.T) {
	want, err := undisturbed(steps)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, rate)
	c.start(slices.Concat(c.coordinators, c.workers)...)
	c.leader()
	j := c.submit(jobFile, jobSets(steps)...)
	j.reach(50, patience)
	from, to := c.workers[2], c.workers[3] // w3 on h2, w4 on h3: neighbours, as seats go by the workers' names
	heal := c.net.cut([]way{{from.ip, to.ip}}, silently)
	began, named := time.Now(), false
	for !named && time.Since(began) < 5*time.Second {
		s := c.status()
		if s == nil || s.Stalled == nil {
			continue
		}
		t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), s.Stalled.Reason)
		if f := s.Stalled; f.Doing == "partitioned" && f.Worker == from.id && f.Host == from.host && f.Peer == to.id && f.PeerHost == to.host {
			named = true
		}
	}
	heal()
	if !named {
		t.Errorf("nobody says that %s is partitioned from %s\n%s", from.id, to.id, c.logs())
	}
	check(t, c, j, j.end(afterwards), steps, want)
}
