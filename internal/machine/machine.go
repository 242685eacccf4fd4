// Package machine tells machines apart.
package machine

import (
	"os"
	"runtime"
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

// ID is the same in all processes of this machine and differs between machines: the host name, and where the system has
// one the number of the boot, which tells apart machines that were given one name.
func ID() string {
	id := runtime.GOOS + "/" + Host()
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id += "/" + strings.TrimSpace(string(boot))
	}
	return id
}
