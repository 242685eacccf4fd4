package rpc

import "fmt"

// UnsavedLog is what a coordinator cannot store that cannot write its log: nothing that happens can be recorded.
const UnsavedLog = "its log"

// Sentence says for people who cannot store what, and why.
func (u *Unsaved) Sentence() string {
	role := "coordinator"
	if u.GetWorker() {
		role = "worker"
	}
	return fmt.Sprintf("%s %s cannot store %s: %s", role, u.GetPlace(), u.GetWhat(), u.GetReason())
}
