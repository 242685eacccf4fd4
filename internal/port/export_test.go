package port

// The first bytes, for tests that see the port from outside.
const (
	FirstRaft   = firstRaft
	FirstGossip = firstGossip
	FirstSelf   = firstSelf
)
