package rpc

import (
	"strings"

	"google.golang.org/grpc/encoding"
	protobuf "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ringmaster/internal/printable"
)

// codec is gRPC's own with a care for texts. It sends a message whose texts are not all UTF-8, with question marks in the place of what
// is not: texts quote the names of files, which may hold any bytes, and a report that cannot be sent would leave its worker without a
// line and everybody without the reason. And it makes the texts that come fit to be shown: this is the one place through which all
// that others say reaches terminals and logs, but for the texts of errors (see certs.Reason).
type codec struct{ encoding.CodecV2 }

func init() { encoding.RegisterCodecV2(codec{encoding.GetCodecV2(protobuf.Name)}) }

// maxText is the length of a text of a message: that of the longest path.
const maxText = 4096

// Marshal encodes a message.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	if m, ok := v.(proto.Message); ok && err != nil {
		m = proto.Clone(m) // others may be reading this one
		spell(m.ProtoReflect(), func(text string) string { return strings.ToValidUTF8(text, "?") })
		return c.CodecV2.Marshal(m)
	}
	return data, err
}

// Unmarshal decodes a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if err := c.CodecV2.Unmarshal(data, v); err != nil {
		return err
	}
	if m, ok := v.(proto.Message); ok {
		spell(m.ProtoReflect(), func(text string) string { return printable.Line(text, maxText) })
	}
	return nil
}

// spell replaces all texts of a message by what change makes of them.
func spell(m protoreflect.Message, change func(string) string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() == protoreflect.StringKind && f.IsList():
			for i, list := 0, v.List(); i < list.Len(); i++ {
				if was := list.Get(i).String(); change(was) != was {
					list.Set(i, protoreflect.ValueOfString(change(was)))
				}
			}
		case f.Kind() == protoreflect.StringKind:
			if was := v.String(); change(was) != was {
				m.Set(f, protoreflect.ValueOfString(change(was)))
			}
		case f.Message() != nil && f.IsList():
			for i, list := 0, v.List(); i < list.Len(); i++ {
				spell(list.Get(i).Message(), change)
			}
		case f.Message() != nil:
			spell(v.Message(), change)
		}
		return true
	})
}
