package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/dataset/merkle"
)

// plainRoot is RFC 6962's definition of a tree's root, by recursion.
func plainRoot(leaves []hash256) hash256 {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return merkle.Node(plainRoot(leaves[:k]), plainRoot(leaves[k:]))
	}
}

// numbers is a reader of records of one ragged and one plain field, made of their number.
type numbers struct {
	n   int
	bad int // the record that cannot be read; 0: none
	odd float32
}

func (r *numbers) Schema() Schema {
	return Schema{
		{Name: "list", Type: Int32, Role: Input, Shape: []int{4}, Ragged: true, Classes: 100},
		{Name: "value", Type: Float32, Role: Target},
	}
}
func (r *numbers) Len() int       { return r.n }
func (r *numbers) Resident() bool { return false }
func (r *numbers) Read(record Record, number int) error {
	if r.bad > 0 && number >= r.bad {
		return fmt.Errorf("record %d is bad", number)
	}
	list := record[0].OwnInts(number % 5)
	for i := range list {
		list[i] = int32(number+i) % 100
	}
	record[1].OwnFloats(1)[0] = float32(number) + r.odd
	return nil
}

func TestSumRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &numbers{n: rapid.IntRange(0, 3000).Draw(t, "n")}
		var leaves []hash256
		record := make(Record, 2)
		for i := range r.n {
			if err := r.Read(record, i); err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leafOf(appendRecord([]byte{0}, r.Schema(), record)))
		}
		seen := 0
		root, err := sumRecords(r, func(number int, leaf hash256) {
			if number != seen || leaf != leaves[number] {
				t.Fatalf("leaf %d is seen as number %d", number, seen)
			}
			seen++
		})
		if err != nil || root != plainRoot(leaves) || seen != r.n {
			t.Fatalf("the root of %d records is not RFC 6962's; %d seen, %v", r.n, seen, err)
		}
	})
}

// Of several records that cannot be read, the first is named, however many goroutines read.
func TestSumRecordsNamesTheFirst(t *testing.T) {
	if _, err := sumRecords(&numbers{n: 5000, bad: 1234}, nil); err == nil || err.Error() != "record 1234 is bad" {
		t.Errorf("%v", err)
	}
}

func TestRecordsAreEncodedApart(t *testing.T) {
	schema := Schema{
		{Name: "a", Type: Int32, Shape: []int{4}, Ragged: true},
		{Name: "b", Type: Int32, Shape: []int{4}, Ragged: true},
	}
	one := appendRecord(nil, schema, Record{{Ints: []int32{1, 2}}, {Ints: []int32{3}}})
	other := appendRecord(nil, schema, Record{{Ints: []int32{1}}, {Ints: []int32{2, 3}}})
	if string(one) == string(other) {
		t.Error("ragged fields of other lengths are encoded alike")
	}
	float := Schema{{Name: "x", Type: Float32}}
	quiet := appendRecord(nil, float, Record{{Floats: []float32{math.Float32frombits(0x7fc00000)}}})
	payload := appendRecord(nil, float, Record{{Floats: []float32{math.Float32frombits(0xffc00001)}}})
	if string(quiet) != string(payload) {
		t.Error("NaNs are encoded by their payload")
	}
}

// half is a transform that makes a weight of the value.
type half struct{}

func (half) Fields(Schema) ([]string, []Field, error) {
	return []string{"value"}, []Field{{Name: "half", Type: Float32, Role: Weight}}, nil
}
func (half) Apply(out, in []Value, _ Draw) { out[0].Floats[0] = in[0].Floats[0] / 2 }

// fork makes two fields of one: the value itself, and what is drawn.
type fork struct{}

func (fork) Fields(Schema) ([]string, []Field, error) {
	return []string{"half"}, []Field{{Name: "kept", Type: Float32, Role: Weight}, {Name: "drawn", Type: Int32, Role: Target, Shape: []int{2}, Ragged: true}}, nil
}

func (fork) Apply(out, in []Value, draw Draw) {
	out[0].Floats[0] = in[0].Floats[0]
	out[1].Ints[0] = -1
	if !draw.Off() {
		out[1].Ints[0] = int32(draw.Block(7)[0] >> 1)
	}
	out[1].Ints = out[1].Ints[:1]
}

// TestSetsTransformRecords reads ragged records through two transforms, which pass a field on, make one that is gone again, and make two of one.
func TestSetsTransformRecords(t *testing.T) {
	set, err := newRecords(&numbers{n: 50}, half{}, fork{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(set.schema[0].Name, " ", set.schema[1].Name, " ", set.schema[2].Name, " ", len(set.schema)); got != "list kept drawn 3" {
		t.Fatalf("fields %s", got)
	}
	var b Batch
	indices := []int32{13, 4, 49, 5}
	key := testKey
	if err := set.Read(&b, indices, key); err != nil {
		t.Fatal(err)
	}
	for j, i := range indices {
		length := int(i) % 5
		for k, v := range b.Columns[0].Ints[4*j : 4*j+4] {
			want := int32(0)
			if k < length {
				want = (i + int32(k)) % 100
			}
			if v != want {
				t.Errorf("sample %d: list[%d] is %d, want %d", i, k, v, want)
			}
		}
		drawn := b.Columns[2].Ints[2*j : 2*j+2]
		if want := int32(key.Derive(7).Block(uint64(j))[0] >> 1); drawn[0] != want || drawn[1] != 0 {
			t.Errorf("sample %d: drawn %v, want %d and padding", i, drawn, want)
		}
		if b.Columns[0].Lengths[j] != int32(length) || b.Columns[2].Lengths[j] != 1 || b.Columns[1].Floats[j] != float32(i)/2 {
			t.Errorf("sample %d: lengths %d and %d, kept %v", i, b.Columns[0].Lengths[j], b.Columns[2].Lengths[j], b.Columns[1].Floats[j])
		}
	}
	if n := testing.AllocsPerRun(20, func() { err = errors.Join(err, set.Read(&b, indices, key)) }); n != 0 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
	set.plain = true
	if err := set.Read(&b, indices, key); err != nil || b.Columns[2].Ints[0] != -1 {
		t.Errorf("a set without draws draws %v, %v", b.Columns[2].Ints, err)
	}
}
