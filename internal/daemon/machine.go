package daemon

import (
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// machineID names what two processes share when a unix socket of one reaches the other and nothing between them can be
// cut: the running kernel, the network namespace and the file system namespace. Where that cannot be told, it is the
// host's name.
func machineID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return hostName()
	}
	parts := []string{strings.TrimSpace(string(boot))}
	for _, space := range []string{"net", "mnt"} {
		if link, err := os.Readlink("/proc/self/ns/" + space); err == nil {
			parts = append(parts, link)
		}
	}
	return strings.Join(parts, " ")
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// quickReconnect tries again soon: views change within milliseconds, and a peer that comes back should not wait for a
// backoff made for the internet.
func quickReconnect() grpc.ConnectParams {
	return grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
}
