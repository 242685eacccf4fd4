package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseInt reads a decimal whole number. Leading zeros are refused because YAML reads them as octal.
func parseInt(s string) (int64, error) {
	if !isDecimal(strings.TrimPrefix(s, "-")) {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 10, strconv.IntSize)
}

func parseUint(s string) (uint64, error) {
	if !isDecimal(s) {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 10, 64)
}

func isDecimal(s string) bool {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// parseFloat reads a finite decimal number; neither hexadecimal nor underscores nor leading zeros.
func parseFloat(s string) (float64, error) {
	whole := strings.TrimLeft(s, "+-")
	if strings.Trim(s, "0123456789.eE+-") != "" || len(whole) > 1 && whole[0] == '0' && whole[1] >= '0' && whole[1] <= '9' {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && math.IsInf(v, 0) {
		err = strconv.ErrRange
	}
	return v, err
}

// suggestion is what a message about an unknown word adds: the word that was probably meant, or all there are.
func suggestion(word string, known []string) string {
	if meant := Closest(word, known); meant != "" {
		return fmt.Sprintf("; did you mean %s?", meant)
	}
	return "; there are " + strings.Join(known, ", ")
}

// Closest is the known word that was probably meant by one that is not known; "" where none is close: a third of its letters may be
// wrong, and one in a short word.
func Closest(word string, known []string) string {
	best, distance := "", max(1, len(word)/3)
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(candidate)); d <= distance {
			best, distance = candidate, d-1
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap with the next to get from a to b. Long words are not compared.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	// row[k] is the distance from the letters of a so far to b[:k]; above and before are the rows of one and two letters fewer.
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for k := range len(b) {
			row[k+1] = above[k]
			if a[i] != b[k] {
				row[k+1] = 1 + min(above[k], above[k+1], row[k])
				if i > 0 && k > 0 && a[i] == b[k-1] && a[i-1] == b[k] {
					row[k+1] = min(row[k+1], 1+before[k-1])
				}
			}
		}
	}
	return row[len(b)]
}
