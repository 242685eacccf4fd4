// Command worker is the daemon of one worker.
package main

import (
	"os"

	"ringmaster/internal/daemon/program"
)

func main() { os.Exit(program.Main(program.Worker)) }
