// Package e2e holds the end-to-end tests: the real programs as real processes, driven as a person would drive them. It has
// no code of its own.
package e2e
