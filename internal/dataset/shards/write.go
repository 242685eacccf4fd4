package shards

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ringmaster/internal/dataset/merkle"
)

// Writer writes a packed set, as a draft of its folder.
type Writer struct {
	draft *Draft
	index index
	part  *partWriter
}

// Create begins to write a packed set. Its folder must not exist, or be empty. What a packing left that was interrupted is removed.
func Create(dir string) (*Writer, error) {
	draft, err := NewDraft(dir)
	if err != nil {
		return nil, err
	}
	return &Writer{draft: draft, index: index{Format: format, Version: version, Parts: []*layout{}}}, nil
}

// Abort removes what has been written. After Finish it does nothing.
func (w *Writer) Abort() error { return w.draft.Abort() }

// Part begins a part of n records of at most largest bytes, all of them that long where same is set.
func (w *Writer) Part(name string, n, largest int, same bool) error {
	if largest > maxRecord {
		return fmt.Errorf("records of %d bytes are larger than the %d that can be packed", largest, maxRecord)
	}
	l := &layout{Name: name, Records: n, Largest: largest, PerBlock: 1, Shards: []shard{}}
	size := largest + 4
	if same && largest > 0 {
		l.RecordBytes, size = largest, largest
	}
	for 2*l.PerBlock*size <= blockBytes {
		l.PerBlock *= 2
	}
	l.PerShard = l.PerBlock
	for 2*l.PerShard*size <= shardBytes {
		l.PerShard *= 2
	}
	w.index.Parts = append(w.index.Parts, l)
	w.part = &partWriter{folder: w.draft.partial, layout: l}
	return nil
}

// Add adds the next record of the part, whose leaf is known.
func (w *Writer) Add(record []byte, leaf merkle.Hash) error { return w.part.add(record, leaf) }

// EndPart ends the part and returns its Merkle root.
func (w *Writer) EndPart() (merkle.Hash, error) {
	p := w.part
	if p.written != p.layout.Records {
		return merkle.Hash{}, fmt.Errorf("dataset/shards: %d records of %d", p.written, p.layout.Records)
	}
	p.layout.Root = digest(p.roots.Root())
	return merkle.Hash(p.layout.Root), nil
}

// Finish writes the index, and moves the set to its folder.
func (w *Writer) Finish(content any) (err error) {
	if w.index.Content, err = json.Marshal(content); err != nil {
		return err
	}
	text, err := w.index.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.draft.Path(IndexName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return w.draft.Publish()
}

// partWriter writes the shards of a part.
type partWriter struct {
	folder  string
	layout  *layout
	written int
	roots   merkle.Tree // of the shards

	file  *os.File // of the shard under way
	out   *bufio.Writer
	bytes int64
	table []byte
	shard merkle.Tree // of its blocks

	lengths, block []byte
	tree           merkle.Tree // of the block's records
}

func (p *partWriter) add(record []byte, leaf merkle.Hash) (err error) {
	l := p.layout
	if p.written == l.Records || len(record) > l.Largest || l.RecordBytes != 0 && len(record) != l.RecordBytes {
		return fmt.Errorf("dataset/shards: record %d of %d bytes", p.written, len(record))
	}
	if p.file == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	if l.RecordBytes == 0 {
		p.lengths = binary.LittleEndian.AppendUint32(p.lengths, uint32(len(record)))
	}
	p.block = append(p.block, record...)
	p.tree.Add(leaf)
	p.written++
	last := p.written == l.Records
	if last || p.written%l.PerBlock == 0 {
		err = p.endBlock()
	}
	if err == nil && (last || p.written%l.PerShard == 0) {
		err = p.endShard()
	}
	return err
}

func (p *partWriter) begin() (err error) {
	name := filepath.Join(p.folder, p.layout.file(len(p.layout.Shards)))
	if p.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
		return err
	}
	p.out = bufio.NewWriterSize(p.file, 1<<20)
	p.bytes, p.table = 0, p.table[:0]
	return p.write([]byte(magic))
}

func (p *partWriter) write(b []byte) error {
	p.bytes += int64(len(b))
	_, err := p.out.Write(b)
	return err
}

func (p *partWriter) endBlock() error {
	root := p.tree.Root()
	p.shard.Add(root)
	p.table = append(p.table, root[:]...)
	p.table = binary.LittleEndian.AppendUint32(p.table, uint32(len(p.lengths)+len(p.block)))
	err := errors.Join(p.write(p.lengths), p.write(p.block))
	p.lengths, p.block = p.lengths[:0], p.block[:0]
	return err
}

func (p *partWriter) endShard() error {
	err := p.write(p.table)
	if err == nil {
		err = p.out.Flush()
	}
	if err == nil {
		err = p.file.Sync()
	}
	err = errors.Join(err, p.file.Close())
	root := p.shard.Root()
	p.roots.Add(root)
	p.layout.Shards = append(p.layout.Shards, shard{digest(root), p.bytes})
	p.file = nil
	return err
}
