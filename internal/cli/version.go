package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor/kernel"
)

// Versioned gives a program the flags --version and -v.
func Versioned(root *cobra.Command) {
	root.Version = Version(root.Name())
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().BoolP("version", "v", false, "show the version, and the kernels this machine gets")
}

// Version is a program's version, the kernels that this machine gets, and the numerics contract.
func Version(program string) string {
	return fmt.Sprintf("%s %s, %s %s/%s, %s kernels, numerics contract %d", program, Revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		kernel.Best(), config.ContractVersion)
}

// release and commit are set when a release is linked: its version, and what it was built from.
var release, commit string

// Revision is the version that the build was made from.
func Revision() string {
	if release != "" {
		return release + " (" + commit + ")"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = "+changes"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision[:min(12, len(revision))] + modified
}
