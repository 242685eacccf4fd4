package caches

import (
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// fromSysfs reads what Linux says of a CPU's caches, in a folder like /sys/devices/system/cpu/cpu0/cache. It says nothing of
// translations.
func fromSysfs(folder fs.FS) (c CPU) {
	for i := range mostLeaves {
		index := "index" + strconv.Itoa(i)
		kind := word(folder, index, "type")
		if kind == "" {
			return c
		}
		if kind != "Data" && kind != "Unified" {
			continue
		}
		c.put(number(word(folder, index, "level")), Level{
			Size:    bytesOf(word(folder, index, "size")),
			Line:    number(word(folder, index, "coherency_line_size")),
			Ways:    number(word(folder, index, "ways_of_associativity")),
			Sharers: listed(word(folder, index, "shared_cpu_list")),
		})
	}
	return c
}

// word is the content of a small file, "" if there is none.
func word(folder fs.FS, index, name string) string {
	f, err := folder.Open(path.Join(index, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// number is a decimal number, 0 if it is none that counts anything here.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > mostThird {
		return 0
	}
	return n
}

// bytesOf is a size like 32K or 8M in bytes, 0 if it is none.
func bytesOf(s string) int {
	unit := 1
	switch {
	case strings.HasSuffix(s, "K"):
		s, unit = s[:len(s)-1], 1<<10
	case strings.HasSuffix(s, "M"):
		s, unit = s[:len(s)-1], 1<<20
	}
	n := number(s)
	if n > mostThird/unit {
		return 0
	}
	return n * unit
}

// listed is how many CPUs a list like 0-3,8 has, 0 if it is none.
func listed(s string) int {
	count := 0
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		if err != nil {
			return 0
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(last); err != nil {
				return 0
			}
		}
		if a < 0 || b < a || b > 1<<20 {
			return 0
		}
		count += b - a + 1
	}
	return count
}

// identity is the register with which a CPU of Arm's architecture identifies itself, in a folder like /sys/devices/system/cpu/cpu0.
func identity(folder fs.FS) string { return word(folder, "regs/identification", "midr_el1") }
