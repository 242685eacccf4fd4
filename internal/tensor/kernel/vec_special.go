//go:build (amd64 || arm64) && !purego

package kernel

// blocks calls f for the whole 16-element blocks of [0, n), at most blockLen elements at a time, and returns where they end.
// It is inlined with f, so that neither costs an allocation.
func blocks(n int, f func(at, n int)) int {
	whole := n &^ (lanes - 1)
	for at := 0; at < whole; at += blockLen {
		f(at, min(blockLen, whole-at))
	}
	return whole
}

// philoxKeys are the keys of Philox's rounds, both words of each in turn.
func philoxKeys(key [2]uint32) (keys [2 * philoxRounds]uint32) {
	for r := range uint32(philoxRounds) {
		keys[2*r], keys[2*r+1] = key[0]+r*philoxW0, key[1]+r*philoxW1
	}
	return keys
}
