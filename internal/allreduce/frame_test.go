package allreduce

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"google.golang.org/grpc/mem"
	"pgregory.net/rapid"
)

func TestHeaderSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Header{
			Job: rapid.Uint64().Draw(t, "job"), Step: rapid.Uint64().Draw(t, "step"), Kind: rapid.Uint8().Draw(t, "kind"),
			Phase: phase(rapid.IntRange(int(phaseHello), int(phaseEnd)-1).Draw(t, "phase")), Bucket: rapid.Uint32().Draw(t, "bucket"),
			Segment: rapid.Uint32().Draw(t, "segment"), Offset: rapid.Uint32().Draw(t, "offset"), Length: rapid.Uint32Range(0, frameBytes).Draw(t, "length"),
			Cluster: 1 << 63, From: 3, To: 4, Generation: 5,
		}
		var b [headerLen]byte
		h.encode(&b)
		var got Header
		if err := got.decode(&b); err != nil || got != h {
			t.Fatalf("got %+v, %v, want %+v", got, err, h)
		}
	})
}

func FuzzParseFrame(f *testing.F) {
	var b [headerLen]byte
	(&Header{Phase: phaseBye, Length: 3}).encode(&b)
	f.Add(append(b[:], "w1\n"...), uint8(5))
	f.Add([]byte("RMR"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, at uint8) {
		split := min(int(at), len(data))
		slice := mem.BufferSlice{mem.SliceBuffer(data[:split]), mem.SliceBuffer(data[split:])}
		frame, err := parseFrame(slice)
		if err != nil {
			return
		}
		if want := data[headerLen:]; !bytes.Equal(frame.payload(), want) || len(want) != int(frame.Length) {
			t.Errorf("payload %q, want %q", frame.payload(), want)
		}
		if bye, err := readFarewell(&frame.Header, frame.payload()); err == nil && len(bye.culprit)+len(bye.reason)+1 != int(frame.Length) {
			t.Errorf("farewell %+v from %q", bye, frame.payload())
		}
		frame.Free()
	})
}

// However the payload is cut into pieces, and wherever they are in memory, the numbers come out as they went in.
func TestFloatsFromAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(t, "numbers")
		skip := rapid.IntRange(0, 75).Draw(t, "skip")
		wire := make([]byte, skip+4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(wire[skip+4*i:], uint32(i)*2654435761)
		}
		f := Frame{skip: skip}
		for len(wire) > 0 {
			k := min(len(wire), rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 5000)).Draw(t, "piece"))
			shift := rapid.IntRange(0, 3).Draw(t, "shift")
			f.Data = append(f.Data, mem.SliceBuffer(append(make([]byte, shift, shift+k), wire[:k]...)[shift:]))
			wire = wire[k:]
		}
		var r floats
		r.reset(&f)
		i := 0
		for run := r.next(); len(run) > 0; run = r.next() {
			for _, x := range run {
				if got, want := math.Float32bits(x), uint32(i)*2654435761; got != want {
					t.Fatalf("number %d: %08x, want %08x", i, got, want)
				}
				i++
			}
		}
		if i != n {
			t.Fatalf("%d numbers, want %d", i, n)
		}
	})
}
