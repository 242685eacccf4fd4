package raftnode

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ringmaster/internal/test/support"
)

// BenchmarkPropose measures one proposal at a time, on disk and over loopback: what a view change waits for.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{1, 3, 5} {
		b.Run(fmt.Sprintf("replicas=%d", size), func(b *testing.B) {
			c := newCluster(b, size)
			c.startAll()
			leader := c.up[c.leader()]
			command := make([]byte, 500)
			for b.Loop() {
				if _, err := leader.Propose(context.Background(), command); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFailover measures the time from the leader's death to the next acknowledged proposal, with the daemons'
// election timeout.
func BenchmarkFailover(b *testing.B) {
	for _, timeout := range []time.Duration{200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond} {
		b.Run(fmt.Sprintf("election_timeout=%v", timeout), func(b *testing.B) {
			c := newCluster(b, 3)
			c.timeout = timeout
			c.startAll()
			var slowest, sum time.Duration
			n := 0
			for b.Loop() {
				b.StopTimer()
				propose(b, c.nodes(), "x")
				dead := c.leader()
				for _, r := range c.up { // one just started may not have caught up: that is another case
					support.Eventually(b, "all are level", func() bool { return r.Stats().AppliedIndex == c.up[dead].Stats().LastIndex })
				}
				c.crash(dead)
				began := time.Now()
				b.StartTimer()
				propose(b, c.nodes(), "y")
				b.StopTimer()
				took := time.Since(began)
				slowest, sum, n = max(slowest, took), sum+took, n+1
				c.start(dead)
				b.StartTimer()
			}
			b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
			b.ReportMetric(float64(sum.Milliseconds())/float64(n), "mean-ms")
		})
	}
}

// BenchmarkFirstLeader measures how long a cluster that starts needs until it takes a proposal.
func BenchmarkFirstLeader(b *testing.B) {
	for _, size := range []int{1, 3} {
		b.Run(fmt.Sprintf("replicas=%d", size), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c := newCluster(b, size)
				c.timeout = 400 * time.Millisecond
				b.StartTimer()
				c.startAll()
				propose(b, c.nodes(), "x")
				b.StopTimer()
				for id := range c.up {
					c.crash(id)
				}
				b.StartTimer()
			}
		})
	}
}
