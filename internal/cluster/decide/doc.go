// Package decide says what a job needs next: which workers make up the ring and with how many seats, when a view starts, when a
// checkpoint counts, and who holds the others up. It is pure: it knows the log's state, the workers' reports and the times that it is
// told, and nothing else.
package decide
