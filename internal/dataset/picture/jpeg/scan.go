package jpeg

import "errors"

// scan is a pass over some components of the picture, with the state of the codes in it.
type scan struct {
	bits
	of         []scanned
	first      int // the band of coefficients, in zigzag order
	last       int
	high, low  uint // bits that were there before, and after
	endOfBands int32
}

// scanned is a component in a scan.
type scanned struct {
	*component
	dc, ac    *huffman
	predicted int32
}

// decodeScan reads the header of a scan, and the scan.
func (d *decoder) decodeScan(content []byte) error {
	if d.components == nil {
		return errors.New("a scan before the frame")
	}
	s := &d.scan
	if err := d.scanHeader(content); err != nil {
		return err
	}
	if err := d.allocate(); err != nil {
		return err
	}
	s.bits = bits{raw: d.raw, at: d.at}
	decode := d.blockDecoder()
	var err error
	if len(s.of) == 1 {
		err = d.single(&s.of[0], decode)
	} else {
		err = d.interleaved(decode)
	}
	d.at = s.at
	return err
}

var errScan = errors.New("the header of a scan is malformed")

// scanHeader reads the header of a scan.
func (d *decoder) scanHeader(content []byte) error {
	s := &d.scan
	if len(content) < 1 || len(content) != 4+2*int(content[0]) || content[0] < 1 || content[0] > maxComponents {
		return errScan
	}
	n := int(content[0])
	end := content[1+2*n:]
	s.first, s.last, s.high, s.low, s.endOfBands = int(end[0]), int(end[1]), uint(end[2]>>4), uint(end[2]&15), 0
	if !d.progressive {
		s.first, s.last, s.high, s.low = 0, blockSize-1, 0, 0
	}
	if s.first > s.last || s.last >= blockSize || s.first == 0 && s.last > 0 && d.progressive || s.first > 0 && n > 1 || s.low > 13 || s.high != 0 && s.high != s.low+1 {
		return errScan
	}
	s.of = s.of[:0]
	blocks := 0
	for k := range n {
		id, tables := content[1+2*k], content[2+2*k]
		var c *component
		for i := range d.components {
			if d.components[i].id == id {
				c = &d.components[i]
			}
		}
		if c == nil || tables>>4 >= maxTables || tables&15 >= maxTables {
			return errScan
		}
		for _, before := range s.of {
			if before.component == c {
				return errScan
			}
		}
		each := scanned{component: c, dc: d.huffman[0][tables>>4], ac: d.huffman[1][tables&15]}
		if s.first == 0 && s.high == 0 && each.dc == nil || s.last > 0 && each.ac == nil {
			return errors.New("a scan without its table of codes")
		}
		if c.quant == nil {
			if c.quant = d.quant[c.table]; c.quant == nil {
				return errors.New("a scan without its table of quantisation")
			}
		}
		s.of = append(s.of, each)
		blocks += c.h * c.v
	}
	if n > 1 && blocks > maxScanBlocks {
		return errScan
	}
	return nil
}

// blockDecoder is how the blocks of the scan are read.
func (d *decoder) blockDecoder() func(c *scanned, block int) error {
	s := &d.scan
	if !d.progressive {
		return s.sequential
	}
	read := s.refineBand
	switch {
	case s.first == 0 && s.high == 0:
		read = s.firstDC
	case s.first == 0:
		read = s.refineDC
	case s.high == 0:
		read = s.firstBand
	}
	return func(c *scanned, block int) error {
		return read(c, (*[blockSize]int16)(c.coefficients[blockSize*block:]))
	}
}

// single reads a scan of one component: the blocks that have samples of the picture.
func (d *decoder) single(c *scanned, decode func(*scanned, int) error) error {
	across, down := ceil(c.columns, 8), ceil(c.rows, 8)
	for i := range across * down {
		if err := d.pause(i); err != nil {
			return err
		}
		if err := decode(c, i/across*c.blocksAcross+i%across); err != nil {
			return err
		}
	}
	return nil
}

// interleaved reads a scan of several components, MCU by MCU.
func (d *decoder) interleaved(decode func(*scanned, int) error) error {
	for i := range d.mcusAcross * d.mcusDown {
		if err := d.pause(i); err != nil {
			return err
		}
		for k := range d.scan.of {
			c := &d.scan.of[k]
			corner := i/d.mcusAcross*c.v*c.blocksAcross + i%d.mcusAcross*c.h
			for y := range c.v {
				for x := range c.h {
					if err := decode(c, corner+y*c.blocksAcross+x); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// pause passes a restart before an MCU, where there is one.
func (d *decoder) pause(mcu int) error {
	if d.interval == 0 || mcu == 0 || mcu%d.interval != 0 {
		return nil
	}
	for k := range d.scan.of {
		d.scan.of[k].predicted = 0
	}
	d.scan.endOfBands = 0
	return d.scan.restart(mcu/d.interval - 1)
}

// difference reads the first coefficient of a block.
func (s *scan) difference(c *scanned) (int32, error) {
	size, err := s.symbol(c.dc)
	if err != nil {
		return 0, err
	}
	if size > 15 {
		return 0, errCode
	}
	v, err := s.receive(uint(size))
	c.predicted += v
	return c.predicted, err
}

// sequential reads a whole block, and makes its samples.
func (s *scan) sequential(c *scanned, block int) error {
	var values [blockSize]int32
	dc, err := s.difference(c)
	if err != nil {
		return err
	}
	values[0] = int32(int16(dc)) * int32(c.quant[0])
	for k := 1; k < blockSize; k++ {
		symbol, err := s.symbol(c.ac)
		if err != nil {
			return err
		}
		if symbol&15 == 0 {
			if symbol != 0xf0 {
				break
			}
			k += 15
			continue
		}
		k += int(symbol >> 4)
		if k >= blockSize {
			return errCode
		}
		v, err := s.receive(uint(symbol & 15))
		if err != nil {
			return err
		}
		at := natural[k]
		values[at] = int32(int16(v)) * int32(c.quant[at])
	}
	c.place(block, &values)
	return nil
}

// place makes the samples of a block.
func (c *component) place(block int, values *[blockSize]int32) {
	at := block/c.blocksAcross*8*c.stride + block%c.blocksAcross*8
	inverse(values, c.samples[at:], c.stride)
}

// firstDC reads the upper bits of the first coefficient.
func (s *scan) firstDC(c *scanned, block *[blockSize]int16) error {
	dc, err := s.difference(c)
	block[0] = int16(dc << s.low)
	return err
}

// refineDC reads one more bit of it.
func (s *scan) refineDC(_ *scanned, block *[blockSize]int16) error {
	bit, err := s.take(1)
	block[0] |= int16(bit << s.low)
	return err
}

// run reads for how many blocks from this one on there is nothing more, from the symbol that says so.
func (s *scan) run(symbol byte) error {
	length := uint(symbol >> 4)
	more, err := s.take(length)
	s.endOfBands = 1<<length + more
	return err
}

// firstBand reads the upper bits of a band of coefficients.
func (s *scan) firstBand(c *scanned, block *[blockSize]int16) error {
	if s.endOfBands > 0 {
		s.endOfBands--
		return nil
	}
	for k := s.first; k <= s.last; k++ {
		symbol, err := s.symbol(c.ac)
		if err != nil {
			return err
		}
		if symbol&15 == 0 {
			if symbol != 0xf0 {
				err := s.run(symbol)
				s.endOfBands--
				return err
			}
			k += 15
			continue
		}
		k += int(symbol >> 4)
		if k > s.last {
			return errCode
		}
		v, err := s.receive(uint(symbol & 15))
		if err != nil {
			return err
		}
		block[natural[k]] = int16(v << s.low)
	}
	return nil
}

// refineBand reads one more bit of the coefficients of a band that are not 0, and those that become 1 or -1 in this bit.
func (s *scan) refineBand(c *scanned, block *[blockSize]int16) error {
	k := s.first
	for ; s.endOfBands == 0 && k <= s.last; k++ {
		symbol, err := s.symbol(c.ac)
		if err != nil {
			return err
		}
		zeros, value := int(symbol>>4), int16(0)
		switch {
		case symbol&15 == 0 && zeros < 15:
			if err := s.run(symbol); err != nil {
				return err
			}
		case symbol&15 > 1:
			return errCode
		case symbol&15 == 1:
			bit, err := s.take(1)
			if err != nil {
				return err
			}
			value = int16(2*bit-1) << s.low
		}
		if s.endOfBands > 0 {
			break
		}
		if k, err = s.refine(block, k, zeros); err != nil {
			return err
		}
		if value != 0 {
			if k > s.last {
				return errCode
			}
			block[natural[k]] = value
		}
	}
	if s.endOfBands > 0 {
		s.endOfBands--
		_, err := s.refine(block, k, -1)
		return err
	}
	return nil
}

// refine reads one more bit of each coefficient that is not 0, from place k on, until it has passed so many zeros and finds another one; -1: to the
// end of the band. It returns the place of that.
func (s *scan) refine(block *[blockSize]int16, k, zeros int) (int, error) {
	for ; k <= s.last; k++ {
		v := &block[natural[k]]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		bit, err := s.take(1)
		if err != nil {
			return k, err
		}
		if bit == 0 || *v>>s.low&1 != 0 {
			continue // no bit, or it is there already
		}
		if *v > 0 {
			*v += 1 << s.low
		} else {
			*v -= 1 << s.low
		}
	}
	return k, nil
}
