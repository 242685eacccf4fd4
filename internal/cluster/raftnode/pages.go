package raftnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt keeps no checksums of its pages, and panics on some that are damaged. So a file is read here first, page by page, before bbolt
// opens it for writing: every page, key and value must be where bbolt looks for it. The values have checksums of their own.
//
//	meta:    header (16) | magic (4) | version (4) | page size (4) | flags (4) | root page (8) | sequence (8) | free list (8) | pages (8) | transaction (8) | FNV-1a (8)
//	header:  page (8) | kind (2) | elements (2) | pages that follow and belong to it (4)
//	branch:  header | { position of the key (4) | its length (4) | child page (8) } | keys
//	leaf:    header | { kind (4) | position of the key (4) | its length (4) | value's length (4) } | keys and values
//	bucket:  a leaf's value of kind 1: root page (8) | sequence (8) | a whole leaf, where the root page is 0
//
// Positions count from their element. Numbers are little-endian on all machines that this program is built for.
const (
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	pageBranch  = 1
	pageLeaf    = 2
	valueBucket = 1
)

var word = binary.LittleEndian

// pages reads a bbolt file and believes nothing.
type pages struct {
	file io.ReaderAt
	size uint64 // bytes of a page
	used []bool // by number, up to the last one
}

// scanPages calls each for every value of the file with the name of its bucket, in the order of the keys. Both meta pages must
// be whole: with one of them lost bbolt would go on from the transaction before the last one, without a word. It returns the number
// of the last transaction; those up to 1 made the empty file.
func scanPages(file io.ReaderAt, bytes int64, pageSize int, each func(bucket string, key, value []byte) error) (newest uint64, err error) {
	if pageSize < pageHeader+metaSize || bytes < int64(2*pageSize) {
		return 0, errors.New("it is cut short")
	}
	root, count := uint64(0), uint64(0)
	for i := range 2 {
		b := make([]byte, pageHeader+metaSize)
		if _, err := file.ReadAt(b, int64(i*pageSize)); err != nil {
			return 0, err
		}
		m := b[pageHeader:]
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		if word.Uint32(m) != metaMagic || word.Uint64(m[metaSize-8:]) != sum.Sum64() || word.Uint32(m[8:]) != uint32(pageSize) {
			return 0, fmt.Errorf("meta page %d is not whole", i)
		}
		if transaction := word.Uint64(m[48:]); i == 0 || transaction > newest {
			root, count, newest = word.Uint64(m[16:]), word.Uint64(m[40:]), transaction
		}
	}
	if count > uint64(bytes)/uint64(pageSize) {
		return 0, errors.New("it is cut short")
	}
	p := &pages{file: file, size: uint64(pageSize), used: make([]bool, count)}
	return newest, p.walk(root, nil, nil, func(kind uint32, name, value []byte) error {
		if kind != valueBucket || len(value) < 16 {
			return fmt.Errorf("%q is not a bucket", name)
		}
		inside := func(kind uint32, key, value []byte) error {
			if kind != 0 {
				return fmt.Errorf("a key of bucket %q is of kind %d", name, kind)
			}
			return each(string(name), key, value)
		}
		if child := word.Uint64(value); child != 0 {
			return p.walk(child, nil, nil, inside)
		}
		return p.elements(value[16:], nil, nil, inside)
	})
}

type visit func(kind uint32, key, value []byte) error

// walk visits the values below a page, whose keys are all from least on and below beyond; nil: no bound.
func (p *pages) walk(id uint64, least, beyond []byte, each visit) error {
	b, err := p.read(id)
	if err == nil {
		err = p.elements(b, least, beyond, each)
	}
	return err
}

// read reads a page with those that belong to it, each of which has no other use.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= uint64(len(p.used)) {
		return nil, fmt.Errorf("there is no page %d", id)
	}
	head := make([]byte, pageHeader)
	if _, err := p.file.ReadAt(head, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	follow := uint64(word.Uint32(head[12:]))
	if word.Uint64(head) != id || follow >= uint64(len(p.used))-id {
		return nil, fmt.Errorf("page %d has the header of another", id)
	}
	for i := id; i <= id+follow; i++ {
		if p.used[i] {
			return nil, fmt.Errorf("page %d has two uses", i)
		}
		p.used[i] = true
	}
	b := make([]byte, (1+follow)*p.size)
	if _, err := p.file.ReadAt(b, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// elements visits what a page holds.
func (p *pages) elements(b, least, beyond []byte, each visit) error {
	if len(b) < pageHeader || pageHeader+elementSize*int(word.Uint16(b[10:])) > len(b) {
		return errors.New("a page has more elements than fit")
	}
	kind, n := word.Uint16(b[8:]), int(word.Uint16(b[10:]))
	if kind != pageBranch && kind != pageLeaf || kind == pageBranch && n == 0 {
		return fmt.Errorf("a page is of kind %d with %d elements", kind, n)
	}
	keys := make([][]byte, n+1)
	values := make([][]byte, n)
	keys[n] = beyond
	for i := range n {
		at := pageHeader + elementSize*i
		e, position, key, value := b[at:], uint64(0), uint64(0), uint64(0)
		if kind == pageBranch {
			position, key = uint64(word.Uint32(e)), uint64(word.Uint32(e[4:]))
		} else {
			position, key, value = uint64(word.Uint32(e[4:])), uint64(word.Uint32(e[8:])), uint64(word.Uint32(e[12:]))
		}
		if position+key+value > uint64(len(e)) {
			return errors.New("an element is beyond its page")
		}
		keys[i], values[i] = e[position:position+key], e[position+key:position+key+value]
		if bytes.Compare(keys[i], least) < 0 || i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || beyond != nil && bytes.Compare(keys[i], beyond) >= 0 {
			return errors.New("keys are out of order")
		}
	}
	for i := range n {
		e := b[pageHeader+elementSize*i:]
		var err error
		if kind == pageBranch {
			err = p.walk(word.Uint64(e[8:]), keys[i], keys[i+1], each)
		} else {
			err = each(word.Uint32(e), keys[i], values[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}
