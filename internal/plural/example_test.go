package plural_test

import (
	"fmt"

	"ringmaster/internal/plural"
)

func ExampleOf() {
	fmt.Println(plural.Of(1, "worker"), "and", plural.Of(3, "seat"))
	// Output: 1 worker and 3 seats
}
