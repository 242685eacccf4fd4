package logs

import (
	"bytes"
	"io"
	"os"
	"slices"

	"ringmaster/internal/printable"
)

// LastWord is the last word of a log: the last line that is not empty, or a panic's first line, shortened; "" when there is
// none.
func LastWord(path string) string {
	const tail, most = 1 << 20, 300 // a stack of every goroutine may stand below a panic
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err != nil || size == 0 {
		return ""
	} else if _, err := f.Seek(max(0, size-tail), io.SeekStart); err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, tail))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	word := lines[len(lines)-1]
	for _, line := range slices.Backward(lines) {
		if bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) {
			word = line // the stack below it is for the log's reader
			break
		}
	}
	return printable.Line(string(bytes.TrimSpace(word)), most)
}
