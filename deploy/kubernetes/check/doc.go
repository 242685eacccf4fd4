// Package check holds the checks of the charts: what they render, whether it is what Kubernetes takes, and whether it trains. It is a
// module of its own, since it needs a great part of Kubernetes.
package check
