// Package median finds the middle of measurements.
package median

import "slices"

// Of is the median of at least one value: of an even number the mean of the middle two. The values stay as they are.
func Of(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
