package cli

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// NotifyEnd delivers to c the signals that ask a program to end gracefully: Ctrl-C and the system's request (SIGINT, SIGTERM),
// the loss of the terminal (SIGHUP), and the warnings that schedulers send before they end a job (SIGUSR1, SIGUSR2). Those of the last
// three that were ignored when the program began (nohup, trap ”) stay ignored.
func NotifyEnd(c chan<- os.Signal) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) {
			ends = append(ends, s)
		}
	}
	signal.Notify(c, ends...)
}

// Insists reports whether a signal that comes again means: at once. A lost terminal and schedulers send theirs several times, and
// others after them, while the program does what the first one asked for.
func Insists(s os.Signal) bool { return slices.Contains([]os.Signal{os.Interrupt, syscall.SIGTERM}, s) }

// OutliveFullFiles makes a write beyond the limit on a file's size fail (EFBIG) instead of ending the program (SIGXFSZ).
func OutliveFullFiles() { signal.Ignore(syscall.SIGXFSZ) }

// OutliveReaders makes a write to a pipe that nobody reads any more fail (EPIPE) instead of ending the program (SIGPIPE). It returns
// false where that was so from the beginning, because whoever started the program wants it to go on without readers.
func OutliveReaders() bool {
	was := signal.Ignored(syscall.SIGPIPE)
	signal.Ignore(syscall.SIGPIPE)
	return !was
}
