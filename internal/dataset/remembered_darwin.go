package dataset

import (
	"syscall"
	"time"
)

// changeTime is when a file's content or properties changed last.
func changeTime(s *syscall.Stat_t) time.Time {
	return time.Unix(int64(s.Ctimespec.Sec), int64(s.Ctimespec.Nsec))
}
