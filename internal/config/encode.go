package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Encode writes the job as canonical YAML: every key that exists for its kinds, in the order of the types, floats in
// the shortest form that reads back exactly. Equal jobs have equal bytes, and Decode(Encode(j)) is j.
func (j *Job) Encode() []byte {
	return canonical(j)
}

// canonical writes what a pointer to a struct of keys points to.
func canonical(keys any) []byte {
	var out strings.Builder
	encodeStruct(&out, "", reflect.ValueOf(keys).Elem())
	return []byte(out.String())
}

// Decode reads what Encode wrote, as strictly as a file.
func Decode(text []byte) (*Job, error) {
	job, err := Parse("", text, nil)
	if err != nil {
		return nil, fmt.Errorf("decode the job's configuration: %w", err)
	}
	return job, nil
}

func encodeStruct(out *strings.Builder, indent string, v reflect.Value) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		name := tag.Get("yaml")
		if name == "" || !exists(v, i) || isOmitted(tag, v.Field(i)) {
			continue
		}
		if field := v.Field(i); field.Kind() == reflect.Struct {
			fmt.Fprintf(out, "%s%s:\n", indent, name)
			encodeStruct(out, indent+"    ", field)
		} else {
			fmt.Fprintf(out, "%s%s: %s\n", indent, name, encodeValue(field))
		}
	}
}

// encodeValue writes anything but a top-level struct on one line.
func encodeValue(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = encodeValue(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if name := field.Tag.Get("yaml"); name != "" && exists(v, i) && !isOmitted(field.Tag, v.Field(i)) {
				parts = append(parts, name+": "+encodeValue(v.Field(i)))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	switch x := v.Interface().(type) {
	case string:
		return encodeString(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case time.Duration:
		return x.String()
	default:
		return fmt.Sprint(x)
	}
}

// isOmitted reports whether a key is left out of canonical YAML, since its default reads back as the value: the tag omit names the
// default: "zero", "one", "true" or another word.
func isOmitted(tag reflect.StructTag, v reflect.Value) bool {
	switch tag.Get("omit") {
	case "":
		return false
	case "true":
		return v.Bool()
	case "one":
		return v.Int() == 1
	case "zero":
		return isEmpty(v)
	}
	return v.String() == tag.Get("omit")
}

// isEmpty reports whether a key that is left out would read back as the value.
func isEmpty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// encodeString leaves plain words bare and quotes the rest; a JSON string is a YAML string.
func encodeString(s string) string {
	if s != "" && s != "true" && s != "false" && s != "null" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == "" {
		return s
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("config: a string cannot be written as JSON: " + err.Error())
	}
	return string(quoted)
}
