package dataset

import (
	"context"
	"errors"
	"path"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/nearby"
	"ringmaster/internal/objects"
)

// bringPlaces makes what a configuration names in object stores files of this machine. names says what is which, for whoever speaks of files.
func bringPlaces(c *config.Data) (names *strings.Replacer, err error) {
	var pairs []string
	for _, place := range []struct {
		key string
		at  *string
	}{{"data.dir", &c.Dir}, {"data.train", &c.Train}, {"data.eval", &c.Eval}} {
		if !objects.Is(*place.at) {
			continue
		}
		var parts []string
		for _, one := range strings.Split(*place.at, "::") {
			local, root, far, err := bringPlace(*c, one)
			if err != nil {
				return nil, &config.KeyError{Key: place.key, Err: err}
			}
			parts = append(parts, local)
			pairs = append(pairs, root, far)
		}
		*place.at = strings.Join(parts, "::")
	}
	if pairs == nil {
		return nil, nil
	}
	return strings.NewReplacer(pairs...), nil
}

// bringPlace brings one place, which may end in a pattern of names. The path root on this machine is far in the store.
func bringPlace(c config.Data, place string) (local, root, far string, err error) {
	if !objects.Is(place) {
		return "", "", "", errors.New(place + " stands in a list with places in an object store: name all of them there")
	}
	o := nearby.Options{}
	if o.Folder, err = CacheFolder(c); err != nil {
		return "", "", "", err
	}
	o.Bytes = cacheBytes(c)
	at := strings.IndexAny(place, "*?{[")
	if at < 0 {
		far = strings.TrimRight(place, "/")
		local, err = nearby.Fetch(context.Background(), far, nil, o)
		return local, local, far, err
	}
	cut := strings.LastIndexByte(place[:at], '/')
	far, pattern := place[:cut], place[cut+1:]
	patterns, err := braces(pattern, maxFiles)
	if err != nil {
		return "", "", "", err
	}
	root, err = nearby.Fetch(context.Background(), far, func(name string) bool { return matches(patterns, name) }, o)
	return root + "/" + pattern, root, far, err
}

// matches reports whether a name is one of the patterns'.
func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}

// cacheBytes bounds what is kept between runs.
func cacheBytes(c config.Data) int64 {
	mib := c.CacheMiB
	if mib == 0 {
		mib = config.DefaultCacheMiB
	}
	return int64(mib) << 20
}

// farError speaks of objects where an error speaks of their files here.
type farError struct {
	error
	names *strings.Replacer
}

// Error is the message with the objects' names.
func (e *farError) Error() string { return e.names.Replace(e.error.Error()) }

// Unwrap is the error.
func (e *farError) Unwrap() error { return e.error }

// far makes an error speak of objects.
func far(err error, names *strings.Replacer) error {
	if err == nil || names == nil {
		return err
	}
	if key, ok := errors.AsType[*config.KeyError](err); ok {
		return &config.KeyError{Key: key.Key, Err: &farError{key.Err, names}}
	}
	return &farError{err, names}
}

// speakOf makes what is said of the data speak of objects.
func (d *Data) speakOf(names *strings.Replacer) {
	if names == nil {
		return
	}
	d.Read, d.LeftOut = names.Replace(d.Read), names.Replace(d.LeftOut)
	for i := range d.Warnings {
		d.Warnings[i] = names.Replace(d.Warnings[i])
	}
	for i := range d.Files {
		d.Files[i].Path = names.Replace(d.Files[i].Path)
	}
}
