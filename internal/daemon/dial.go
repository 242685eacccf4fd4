package daemon

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// quickReconnect retries soon: views change within milliseconds, and a peer that comes back should not wait for a
// backoff meant for the internet.
func quickReconnect() grpc.ConnectParams {
	return grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
}
