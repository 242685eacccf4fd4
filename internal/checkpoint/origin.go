package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Origin is what a file of parameters says about itself, so that nothing else is needed to use them: the job, as canonical YAML, and
// the data, as dataset.Describe writes them.
type Origin struct{ Job, Data string }

// The keys of an origin in a safetensors file's metadata.
const (
	originJob  = "ringmaster.job"
	originData = "ringmaster.data"
)

// metadata is the beginning of a header's JSON, without the closing brace.
func (o Origin) metadata() string {
	var b strings.Builder
	b.WriteString(`{"` + metadataKey + `":{"format":"pt"`)
	for _, item := range [][2]string{{originJob, o.Job}, {originData, o.Data}} {
		if item[1] != "" {
			value, _ := json.Marshal(item[1])
			fmt.Fprintf(&b, `,"%s":%s`, item[0], value)
		}
	}
	b.WriteByte('}')
	return b.String()
}

// OriginOf is the origin that a file of parameters says; empty where it says none.
func OriginOf(path string) (Origin, error) {
	f, h, _, err := openWithHeader(path)
	if err != nil {
		return Origin{}, err
	}
	defer f.Close()
	return Origin{h.metadata[originJob], h.metadata[originData]}, nil
}

// OriginIn is the origin that a file of parameters of size bytes says.
func OriginIn(r io.Reader, size int64) (Origin, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return Origin{}, err
	}
	return Origin{h.metadata[originJob], h.metadata[originData]}, nil
}

// countersOf are the names of the counters of batches that go with running statistics.
func countersOf(slots []slot) (counters []string) {
	for _, s := range slots {
		if norm, is := strings.CutSuffix(s.name, meanSuffix); is {
			counters = append(counters, norm+counterSuffix)
		}
	}
	return counters
}

// counts are the values of the counters, each of which is the step.
func counts(counters []string, step uint64) (values []byte) {
	for range counters {
		values = binary.LittleEndian.AppendUint64(values, step)
	}
	return values
}

// WriteModel writes a state's parameters and running statistics as one safetensors file, as Export does with those of a checkpoint.
func (l *Layout) WriteModel(w io.Writer, s *State, o Origin) error {
	if err := l.fits(s); err != nil {
		return err
	}
	var slots []slot
	for _, share := range l.shares {
		if share.kind == kindModel || share.kind == kindStats {
			slots = append(slots, share.dests...)
		}
	}
	return writeTensors(w, o.metadata(), slots, s)
}

// WriteTensors writes parts of a flat vector as one safetensors file.
func WriteTensors(w io.Writer, tensors []Tensor, values []float32) error {
	slots := make([]slot, len(tensors))
	for i, t := range tensors {
		slots[i] = slot{t.Name, t.Shape, run{vectorParams, t.Interval}}
	}
	return writeTensors(w, Origin{}.metadata(), slots, &State{Params: values})
}

// writeTensors writes tensors of a state as one safetensors file.
func writeTensors(w io.Writer, metadata string, slots []slot, s *State) error {
	counters := countersOf(slots)
	if _, err := w.Write(slices.Concat(encodeHeader(metadata, counters, slots), counts(counters, s.Step))); err != nil {
		return err
	}
	buf := make([]byte, 4*chunkFloats)
	for _, t := range slots {
		if err := writeFloats(w, buf, s.vector(t.vector)[t.interval.Begin:t.interval.End]); err != nil {
			return err
		}
	}
	return nil
}
