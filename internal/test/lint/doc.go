// Package lint holds the tests that keep the architecture and the numerics contract: which package may import which, and
// how arithmetic that reaches weights or samples is written. It has no code of its own.
package lint
