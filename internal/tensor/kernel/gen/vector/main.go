// Vector writes the assembly of the vector kernels and the Go functions that choose between its forms.
package main

import (
	"flag"
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("vector: ")
	dispatch := flag.String("dispatch", "", "folder to write vec_arm64.s and vec_{amd64,arm64,other}.go to")
	flag.Parse()
	ConstraintExpr("amd64,!purego")
	for _, set := range []isa{avx512, avx2} {
		var programs []*program
		for _, k := range kernels {
			programs = append(programs, build(k, set))
		}
		x := &x86{set: set}
		x.tables(programs)
		for _, p := range programs {
			if p.columnar() {
				x.emitColumns(p)
				continue
			}
			x.emit(p, false)
			if p.past {
				x.emit(p, true)
			}
			if p.rows != nil {
				x.emitRows(p)
			}
		}
		x.specials()
	}
	if *dispatch != "" {
		if err := writeDispatch(*dispatch); err != nil {
			log.Print(err)
			os.Exit(1)
		}
	}
	Generate()
}
