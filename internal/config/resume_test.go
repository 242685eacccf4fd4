package config

// differences are what a resume is refused for: what changes bits, else an earlier end.
func differences(old, next *Job, samples int) []Difference {
	if found := Changes(old, next); len(found) > 0 {
		return found
	}
	return Shorter(old, next, samples)
}
