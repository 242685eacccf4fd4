package records

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// TensorBoard reads files whose names contain "tfevents". Such a file is a sequence of records
//
//	length    uint64, little-endian
//	checksum  uint32, masked CRC-32C of the 8 bytes of the length
//	data      length bytes: an Event as a protocol buffer
//	checksum  uint32, masked CRC-32C of the data
//
// An Event has wall_time (1, double, seconds), step (2, int64) and one of file_version (3), which the first record has to hold,
// summary (5: values (1) of tag (1) and simple_value (2, float)) and session_log (7: status (1)). See tensorflow/core/util/event.proto and
// tensorflow/core/lib/io/record_writer.h.
const (
	eventVersion = "brain.Event:2"
	sessionStart = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a checksum that does not become 0 where it is itself part of what is summed.
func masked(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// Events makes the records of an event file in memory; WriteTo hands whole records on.
type Events struct{ pending []byte }

// NewEvents begins a file: its version, and from which step on what it says replaces what earlier files of the folder said.
func NewEvents(wall float64, from uint64) *Events {
	e := &Events{}
	e.add(protowire.AppendString(protowire.AppendTag(head(wall, 0), 3, protowire.BytesType), eventVersion))
	log := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), sessionStart)
	e.add(protowire.AppendBytes(protowire.AppendTag(head(wall, from), 7, protowire.BytesType), log))
	return e
}

// EventFile is the name of an event file that began at a time, in seconds since 1970. TensorBoard reads a folder's files in the order of their names.
func EventFile(began int64, by string) string {
	return fmt.Sprintf("events.out.tfevents.%010d.%s", began, by)
}

// head is an event's time in seconds since 1970 and its step.
func head(wall float64, step uint64) []byte {
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(wall))
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), step)
}

func (e *Events) add(event []byte) {
	b := binary.LittleEndian.AppendUint64(e.pending, uint64(len(event)))
	b = binary.LittleEndian.AppendUint32(b, masked(b[len(b)-8:]))
	b = append(b, event...)
	e.pending = binary.LittleEndian.AppendUint32(b, masked(event))
}

// Scalar is a figure under a tag.
type Scalar struct {
	Tag   string
	Value float32
}

// Add adds a step's scalars.
func (e *Events) Add(wall float64, step uint64, scalars ...Scalar) {
	var summary []byte
	for _, s := range scalars {
		v := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s.Tag)
		v = protowire.AppendFixed32(protowire.AppendTag(v, 2, protowire.Fixed32Type), math.Float32bits(s.Value))
		summary = protowire.AppendBytes(protowire.AppendTag(summary, 1, protowire.BytesType), v)
	}
	if len(summary) > 0 {
		e.add(protowire.AppendBytes(protowire.AppendTag(head(wall, step), 5, protowire.BytesType), summary))
	}
}

// WriteTo writes the records that were added since the last time, all in one call of Write.
func (e *Events) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(e.pending)
	if err == nil {
		e.pending = e.pending[:0]
	}
	return int64(n), err
}

// tags are the columns under the names that people look for in TensorBoard.
var tags = map[string]string{"loss": "train/loss", "accuracy": "train/accuracy", "learning_rate": "train/lr", "grad_norm": "train/grad_norm",
	"gradient_square": "noise/gradient_square", "gradient_variance": "noise/gradient_variance", "noise_scale": "noise/scale",
	"epoch": "epoch/number", "train_loss": "epoch/train_loss", "eval_loss": "eval/loss", "eval_accuracy": "eval/accuracy"}

func tag(column string) string {
	if known, ok := tags[column]; ok {
		return known
	}
	return "eval/" + column[len("eval_"):]
}

// AddRun adds the rows after the given step and epoch. Rows whose step is not known have no place on TensorBoard's axis.
func (e *Events) AddRun(r *Run, wall float64, step uint64, epoch int) {
	names := r.columns()
	at := len(names) - 4 - len(r.Metrics)
	var scalars []Scalar
	r.rows(func(s uint64, row []value) {
		if scalars = scalars[:0]; row[at].present() && int(row[at].x) <= epoch || !row[at].present() && s <= step || s == 0 {
			return
		}
		for i, v := range row {
			if v.present() {
				scalars = append(scalars, Scalar{tag(names[i]), float32(v.x)})
			}
		}
		e.Add(wall, s, scalars...)
	})
}

// WriteEvents writes a whole event file. A checkpoint knows no clock: all times are 0, and TensorBoard's axis of steps is the one to look at.
func (r *Run) WriteEvents(w io.Writer) error {
	e := NewEvents(0, 0)
	e.AddRun(r, 0, 0, 0)
	_, err := e.WriteTo(w)
	return err
}

// last is the step of the newest point and the newest epoch.
func (r *Run) last() (step uint64, epoch int) {
	if n := len(r.Points); n > 0 {
		step = r.Points[n-1].Step
	}
	if n := len(r.Epochs); n > 0 {
		epoch = r.Epochs[n-1].Epoch
	}
	return step, epoch
}
