// Command coordinator is the daemon of one coordinator.
package main

import (
	"os"

	"ringmaster/internal/daemon/program"
)

func main() { os.Exit(program.Main(program.Coordinator)) }
