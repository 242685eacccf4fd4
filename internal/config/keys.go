package config

import (
	"reflect"
	"slices"
	"strings"
)

// JobKeys lists the keys of a job file that hold a value, with those around them: train.optimizer.lr. They are sorted.
func JobKeys() []string { return keysBelow(reflect.TypeFor[Job](), "") }

func keysBelow(t reflect.Type, above string) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		kind := f.Type
		for kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(options, "inline"):
			all = append(all, keysBelow(kind, above)...)
		case name == "":
		case kind.Kind() == reflect.Struct && len(keysBelow(kind, "")) > 0:
			all = append(all, keysBelow(kind, above+name+".")...)
		default:
			all = append(all, above+name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
