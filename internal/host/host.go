// Package host identifies machines.
package host

import (
	"os"
	"strings"
)

// Host is the name of this machine for people.
func Host() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// ID names what two processes share when a unix socket of one reaches the other and nothing between them can be cut: the
// running kernel, the network namespace and the file system namespace. Where that cannot be told, it is the host's name.
func ID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Host()
	}
	parts := []string{strings.TrimSpace(string(boot))}
	for _, space := range []string{"net", "mnt"} {
		if link, err := os.Readlink("/proc/self/ns/" + space); err == nil {
			parts = append(parts, link)
		}
	}
	return strings.Join(parts, " ")
}
