// Package golden holds the numerics contract's last line of defence: the digests of a job like the quickstart, written down
// once. Its tests train that job in this process on every kernel tier, and build and run themselves again for other CPUs.
// It has no code of its own.
package golden
