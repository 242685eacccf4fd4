package rpc

import (
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// TestTextsOfAnyBytesAreSent sends texts that quote names of files which are not UTF-8, in every place that a text can have.
func TestTextsOfAnyBytesAreSent(t *testing.T) {
	codec := encoding.GetCodecV2("proto") // as gRPC looks for it
	for _, test := range []struct{ sent, want, into proto.Message }{
		{&Report{Failure: "caf\xe9.png is cut short", Worker: "w1", Step: 7}, &Report{Failure: "caf?.png is cut short", Worker: "w1", Step: 7}, &Report{}},
		{&View{Members: []*Member{{Worker: "w1"}, {Worker: "w2", Socket: "/\xff/w2"}}}, &View{Members: []*Member{{Worker: "w1"}, {Worker: "w2", Socket: "/?/w2"}}}, &View{}},
		{&Order{View: &View{Reason: "\xe9"}}, &Order{View: &View{Reason: "?"}}, &Order{}},
		{&JobStatus{Coordinators: []string{"a", "\xe9"}}, &JobStatus{Coordinators: []string{"a", "?"}}, &JobStatus{}},
		{&Report{Failure: "café.png is cut short"}, &Report{Failure: "café.png is cut short"}, &Report{}},
	} {
		before := proto.Clone(test.sent)
		data, err := codec.Marshal(test.sent)
		if err != nil {
			t.Errorf("%v is not sent: %v", test.sent, err)
			continue
		}
		if err := codec.Unmarshal(data, test.into); err != nil || !proto.Equal(test.into, test.want) {
			t.Errorf("%v arrives as %v, %v", test.sent, test.into, err)
		}
		if !proto.Equal(before, test.sent) {
			t.Errorf("%v was changed to %v", before, test.sent)
		}
	}
}

// TestTextsThatComeCanBeShown takes messages of somebody who sends what terminals act on, and texts without end, in every place that a
// text can have. Bytes that are no text stay as they are.
func TestTextsThatComeCanBeShown(t *testing.T) {
	const bad, shown = "\x1b[2J\u202e\a", "\ufffd[2J\ufffd\ufffd"
	long := strings.Repeat("x", 2*maxText)
	for _, test := range []struct{ sent, want, into proto.Message }{
		{&Report{Failure: bad, StateDigest: []byte(bad)}, &Report{Failure: shown, StateDigest: []byte(bad)}, &Report{}},
		{&Report{Failure: "one\nline"}, &Report{Failure: "one line"}, &Report{}},
		{&Report{Failure: long}, &Report{Failure: long[:maxText-len("…")] + "…"}, &Report{}},
		{&JobStatus{Coordinators: []string{"a", bad}}, &JobStatus{Coordinators: []string{"a", shown}}, &JobStatus{}},
		{&Order{View: &View{Reason: bad}}, &Order{View: &View{Reason: shown}}, &Order{}},
		{&View{Members: []*Member{{Worker: "w1"}, {Worker: bad}}}, &View{Members: []*Member{{Worker: "w1"}, {Worker: shown}}}, &View{}},
	} {
		data, err := proto.Marshal(test.sent)
		if err != nil {
			t.Fatal(err)
		}
		err = encoding.GetCodecV2("proto").Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, test.into)
		if err != nil || !proto.Equal(test.into, test.want) {
			t.Errorf("%v arrives as %v, %v", test.sent, test.into, err)
		}
	}
}

// TestNoMessageHasAMap: spell does not look into them.
func TestNoMessageHasAMap(t *testing.T) {
	messages := File_ringmaster_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for k := range fields.Len() {
			if f := fields.Get(k); f.IsMap() {
				t.Errorf("%s is a map: let spell clean its texts", f.FullName())
			}
		}
	}
}

// TestOnlyMessagesAreSent: what is no message is an error still.
func TestOnlyMessagesAreSent(t *testing.T) {
	if _, err := encoding.GetCodecV2("proto").Marshal("text"); err == nil {
		t.Error("a string was sent as a message")
	}
}
