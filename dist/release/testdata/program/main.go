// Command program takes the place of Ringmaster's programs in a test: it contains modules of others.
package main

import (
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() { fmt.Println(cdx.SpecVersion1_6) }
