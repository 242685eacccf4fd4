package launch

import (
	"ringmaster/internal/host"
	"ringmaster/internal/rpc"
)

// stepsMemory finds the peak memory of the workers in their steps, without what the end of the job takes.
type stepsMemory struct {
	read int64 // at the status before, when steps were still to come
	peak int64
}

// see takes a status, and what the largest worker had resident at most when it came. A status is older than that figure: what the one
// before read counts only if this one too says that steps are still to come.
func (m *stepsMemory) see(s *rpc.JobStatus, resident int64) {
	if s.Step == 0 || s.Step >= s.StepsTotal {
		m.read = 0
		return
	}
	m.peak = max(m.peak, m.read)
	m.read = resident
}

// residentPeak is the largest memory that one of the workers that run has had resident so far; 0 where the system does not say.
func (c *Cluster) residentPeak() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	peak := int64(0)
	for _, child := range c.workers {
		if !child.Ended() {
			peak = max(peak, host.ResidentPeak(child.PID()))
		}
	}
	return peak
}
