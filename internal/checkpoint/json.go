package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// strictJSON decodes exactly one JSON value without unknown fields.
func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("goes on after its JSON value, which ends at byte %d", d.InputOffset())
	}
	return nil
}

// JSONFault turns the error of decoding a JSON text into words that follow "it" and say what is wrong with the text.
func JSONFault(err error) string {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &syntax) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return "ends too early"
	case errors.As(err, &syntax):
		return fmt.Sprintf("is no JSON at byte %d (%v)", syntax.Offset, syntax)
	case errors.As(err, &wrongType):
		where := ""
		if wrongType.Field != "" {
			where = ", in field " + wrongType.Field
		}
		return fmt.Sprintf("has a JSON %s at byte %d, where none belongs%s", wrongType.Value, wrongType.Offset, where)
	}
	return "has wrong content (" + strings.TrimPrefix(err.Error(), "json: ") + ")"
}
