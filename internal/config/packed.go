package config

import (
	"fmt"
	"reflect"
	"slices"
)

// section is the part of a job file that says which data are read.
type section struct {
	Data Data `yaml:"data"`
}

// Encode writes the section as canonical YAML, as it is in Job.Encode.
func (d *Data) Encode() []byte { return canonical(&section{*d}) }

// DecodeData reads what Data.Encode wrote, as strictly as a file.
func DecodeData(text []byte) (*Data, error) {
	s := &section{}
	b := newBinder("")
	b.fill(reflect.ValueOf(s).Elem(), text, nil)
	s.Data.setDefaults(b.origin)
	b.checkKinds("", reflect.ValueOf(s).Elem())
	s.Data.validate(&checker{b})
	if err := b.result(); err != nil {
		return nil, fmt.Errorf("decode the data's configuration: %w", err)
	}
	return &s.Data, nil
}

// Settle takes over from a packed set what it was packed with. Where the kind of data is shards the set says everything; else the keys that
// its records depend on must be the same. Errors name the key.
func (j *Job) Settle(packed *Data) error {
	place := j.Data
	if place.Kind == DataShards {
		j.Data = *packed
		j.Data.Dir, j.Data.Train, j.Data.Eval = "", "", ""
		j.Data.Path, j.Data.Cache, j.Data.CacheMiB, j.Data.MemoryMiB = place.Path, place.Cache, place.CacheMiB, place.MemoryMiB
		_, err := Decode(j.Encode())
		return err
	}
	ours, theirs := appendPacked(nil, "data", reflect.ValueOf(place)), map[string]string{}
	for _, item := range appendPacked(nil, "data", reflect.ValueOf(*packed)) {
		theirs[item.Key] = item.Value
	}
	for _, item := range ours {
		if was, ok := theirs[item.Key]; !ok || was != item.Value {
			return KeyErrorf(item.Key, "it is %s, and the set in %s was packed with %s: set it to that, pack again, or take data.kind: shards, which goes by the set", item.Value, place.Path, orNone(was))
		}
		delete(theirs, item.Key)
	}
	for key, was := range theirs {
		return KeyErrorf(key, "the set in %s was packed with %s: set it to that, pack again, or take data.kind: shards, which goes by the set", place.Path, was)
	}
	return nil
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// afterPacking are keys that say what is made of records when they are read, so they may differ from those that a set was packed with.
var afterPacking = []string{"data.context", "data.mask", "data.mean", "data.std", "data.crop", "data.flip", "data.augment", "data.balance", "data.standardize"}

// appendPacked lists the keys of the section that the records of a set depend on.
func appendPacked(items []Item, key string, v reflect.Value) []Item {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("yaml")
		if name == "" || field.Tag.Get("contract") != "" || slices.Contains(afterPacking, join(key, name)) || !exists(v, i) || isOmitted(field.Tag, v.Field(i)) {
			continue
		}
		if field.Type.Kind() == reflect.Struct {
			items = appendPacked(items, join(key, name), v.Field(i))
		} else {
			items = append(items, Item{join(key, name), encodeValue(v.Field(i))})
		}
	}
	return items
}
