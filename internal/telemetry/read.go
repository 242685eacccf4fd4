package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxText bounds a scrape, far beyond what a daemon serves.
const maxText = 16 << 20

// Figures are what a daemon served at one moment: its counters and gauges without labels by their names, its histograms as NAME_sum and NAME_count.
type Figures map[string]float64

// Read asks the daemon that serves its metrics at the address, host:port.
func Read(ctx context.Context, address string) (Figures, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the metrics at %s: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the metrics at %s: %s", address, answer.Status)
	}
	figures, err := parse(io.LimitReader(answer.Body, maxText))
	if err != nil {
		return nil, fmt.Errorf("read the metrics at %s: %w", address, err)
	}
	return figures, nil
}

func parse(text io.Reader) (Figures, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, err
	}
	figures := Figures{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			switch {
			case len(m.GetLabel()) > 0:
			case m.GetHistogram() != nil:
				figures[name+"_sum"], figures[name+"_count"] = m.GetHistogram().GetSampleSum(), float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				figures[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				figures[name] = m.GetGauge().GetValue()
			}
		}
	}
	return figures, nil
}
