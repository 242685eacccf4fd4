package launch

import (
	"maps"
	"os"
	"slices"
	"strconv"
)

// metricsFile says where the run's processes serve their metrics, in the form that Prometheus reads (file_sd_configs).
const metricsFile = "metrics.json"

// target is one process in that file.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// watchable adds to a process's arguments the address at which it serves its metrics, if that is wanted: a port of its own, and another
// one when it is started again. The caller holds the lock.
func (c *Cluster) watchable(id string, args []string) ([]string, error) {
	if !c.Metrics {
		return args, nil
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	if c.watched == nil {
		c.watched = map[string]string{}
	}
	c.watched[id] = "127.0.0.1:" + strconv.Itoa(ports[0])
	return append(args, "--metrics", c.watched[id]), nil
}

// writeMetrics tells Prometheus where the processes are; the caller holds the lock.
func (c *Cluster) writeMetrics() error {
	if !c.Metrics {
		return nil
	}
	var all []target
	for _, id := range slices.Sorted(maps.Keys(c.watched)) {
		all = append(all, target{Targets: []string{c.watched[id]}, Labels: map[string]string{"member": id}})
	}
	return c.Dir.writeJSON(metricsFile, all)
}

// removeMetrics takes the file away: nobody answers there any more.
func (c *Cluster) removeMetrics() error {
	if !c.Metrics {
		return nil
	}
	return os.Remove(c.Dir.path(metricsFile))
}

// MetricsAddresses are where the run's processes serve their metrics, by id; none where they do not.
func (d Directory) MetricsAddresses() (map[string]string, error) {
	var all []target
	if _, err := d.readJSON(metricsFile, &all); err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	for _, t := range all {
		if len(t.Targets) == 1 {
			addresses[t.Labels["member"]] = t.Targets[0]
		}
	}
	return addresses, nil
}
