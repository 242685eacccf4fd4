//go:build !amd64 || purego

package caches

import (
	"os"
	"runtime"
)

// here asks Linux; elsewhere there is no such folder, and all values are ordinary.
func here() CPU { return fromSysfs(os.DirFS("/sys/devices/system/cpu/cpu0/cache")) }

func name() string { return runtime.GOARCH + " " + identity(os.DirFS("/sys/devices/system/cpu/cpu0")) }
