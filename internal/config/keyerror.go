package config

import "fmt"

// KeyError is an error of one key of a job, found by those who read the job and do not know where it was written. Job.Blame adds the place.
type KeyError struct {
	Key string // "model.layers[0]", "data.dir"
	Err error  // says what is wrong, with the key in it
}

// KeyErrorf is an error of a key, whose text begins with the key.
func KeyErrorf(key, format string, args ...any) error {
	return &KeyError{Key: key, Err: fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...))}
}

// Error is the text of Err.
func (e *KeyError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *KeyError) Unwrap() error { return e.Err }

// Wrap is an error of a key, whose text begins with the key; nil for nil.
func Wrap(key string, err error) error {
	if err == nil {
		return nil
	}
	return KeyErrorf(key, "%w", err)
}
