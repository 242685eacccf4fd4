// Package telemetry serves what a daemon knows of itself: figures for Prometheus, whether it lives and is ready, and Go's profiles.
package telemetry

import (
	"bytes"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"ringmaster/internal/histogram"
)

// Kind is what a family's figures are.
type Kind int

// The kinds of figures.
const (
	Gauge     Kind = iota // goes up and down
	Counter               // only grows, while the process lives
	Durations             // a histogram in seconds
)

// Family is one metric: what it is called, and how it is read from a daemon's figures.
type Family[T any] struct {
	Name   string // by Prometheus' conventions: base units, and _total at the end of a counter
	Help   string
	Kind   Kind
	Labels []string // few values each: members, states, causes
	Read   func(from *T, put Put)
}

// Many is a family with a figure for each combination of labels.
func Many[T any](name, help string, kind Kind, labels []string, read func(from *T, put Put)) Family[T] {
	return Family[T]{Name: name, Help: help, Kind: kind, Labels: labels, Read: read}
}

// One is a family of one figure without labels.
func One[T any](name, help string, kind Kind, read func(from *T) float64) Family[T] {
	return Many(name, help, kind, nil, func(from *T, put Put) { put.Value(read(from)) })
}

// Put takes figures of a family, one for each combination of its labels' values.
type Put struct {
	out  chan<- prometheus.Metric
	desc *prometheus.Desc
	kind Kind
}

// Value puts a gauge's or a counter's figure.
func (p Put) Value(v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if p.kind == Counter {
		kind = prometheus.CounterValue
	}
	p.out <- prometheus.MustNewConstMetric(p.desc, kind, v, labels...)
}

// Bool puts 1 or 0.
func (p Put) Bool(v bool, labels ...string) {
	if v {
		p.Value(1, labels...)
		return
	}
	p.Value(0, labels...)
}

// Durations puts a histogram.
func (p Put) Durations(h histogram.Snapshot, labels ...string) {
	buckets, below := make(map[float64]uint64, histogram.Buckets), uint64(0)
	for k := range histogram.Buckets {
		below += h.Counts[k]
		buckets[float64(histogram.Bound(k).Microseconds())/1e6] = below // exact to the last digit shown
	}
	p.out <- prometheus.MustNewConstHistogram(p.desc, h.Count(), h.Sum.Seconds(), buckets, labels...)
}

// collector reads the families from figures taken at each scrape.
type collector[T any] struct {
	families []Family[T]
	descs    []*prometheus.Desc
	take     func() *T
}

// Describe lists the families.
func (c *collector[T]) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect puts all figures.
func (c *collector[T]) Collect(out chan<- prometheus.Metric) {
	figures := c.take()
	for i, f := range c.families {
		f.Read(figures, Put{out, c.descs[i], f.Kind})
	}
}

// Registry holds a daemon's metrics.
type Registry struct{ inner *prometheus.Registry }

// NewRegistry is a registry with the process's and the Go runtime's own figures.
func NewRegistry() *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.inner.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Register adds families whose figures take returns, at each scrape again. Two families of one name are a mistake in the program.
func Register[T any](r *Registry, families []Family[T], take func() *T) {
	c := &collector[T]{families: families, take: take}
	for _, f := range families {
		c.descs = append(c.descs, prometheus.NewDesc(f.Name, f.Help, f.Labels, nil))
	}
	r.inner.MustRegister(c)
}

// Names lists the metrics as a scrape shows them now, those of histograms with their endings.
func (r *Registry) Names() ([]string, error) {
	families, err := r.inner.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather the metrics: %w", err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if len(f.GetMetric()) > 0 && f.GetMetric()[0].GetHistogram() != nil {
			names = append(names, f.GetName()+"_bucket", f.GetName()+"_sum", f.GetName()+"_count")
		}
	}
	return names, nil
}

// Text is what a scrape reads now.
func (r *Registry) Text() ([]byte, error) {
	families, err := r.inner.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather the metrics: %w", err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return nil, fmt.Errorf("write the metrics: %w", err)
		}
	}
	return text.Bytes(), nil
}
