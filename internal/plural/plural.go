// Package plural writes numbers of things for people.
package plural

import (
	"fmt"
	"strings"
)

// Integer is what can be counted with.
type Integer interface {
	~int | ~uint32 | ~uint64
}

// Of is a number of things: "1 seat", "2 seats", "0 classes", "3 entries". A y at the thing's end follows a consonant.
func Of[N Integer](n N, thing string) string {
	switch stem, y := strings.CutSuffix(thing, "y"); {
	case n == 1:
	case y:
		thing = stem + "ies"
	case strings.HasSuffix(thing, "s"):
		thing += "es"
	default:
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// Are is Of with the verb that goes with it: "1 worker is", "2 workers are".
func Are[N Integer](n N, thing string) string {
	if n == 1 {
		return Of(n, thing) + " is"
	}
	return Of(n, thing) + " are"
}
