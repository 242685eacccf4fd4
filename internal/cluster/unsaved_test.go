package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/rpc"
)

// The system's reason for not storing is found however it is wrapped, and is reported without a path.
func TestDiskFaults(t *testing.T) {
	for errno, words := range map[syscall.Errno]string{syscall.ENOSPC: "space", syscall.EDQUOT: "quota", syscall.EFBIG: "ulimit -f", syscall.EROFS: "read-only",
		syscall.EACCES: "permission denied", syscall.EPERM: "not permitted", syscall.EIO: "input/output error"} {
		err := fmt.Errorf("store: %w", errors.Join(errors.New("a"), &fs.PathError{Op: "write", Path: "/secret", Err: errno}))
		if got, ok := diskFault(err); !ok || !strings.Contains(got, words) || strings.Contains(got, "/secret") {
			t.Errorf("%v: %q, %v", errno, got, ok)
		}
	}
	for _, err := range []error{nil, errors.New("other bytes under this name"), syscall.ECONNREFUSED} {
		if got, ok := diskFault(err); ok {
			t.Errorf("%v is taken for a fault of a disk: %s", err, got)
		}
	}
}

// A trouble keeps its age while it goes on, and is over when it is not found any more.
func TestATroubleKeepsItsAgeWhileItGoesOn(t *testing.T) {
	var own troubles
	now := time.Unix(1000, 0)
	fact := func(step uint64) *rpc.Unsaved {
		return &rpc.Unsaved{Place: "c1", What: fmt.Sprint("step ", step), Step: step}
	}
	own.replace("checkpoint ", []*rpc.Unsaved{fact(1)}, now)
	own.replace("other ", []*rpc.Unsaved{fact(9)}, now)
	own.replace("checkpoint ", []*rpc.Unsaved{fact(1), fact(2)}, now.Add(3*time.Second))
	got := own.list(now.Add(5 * time.Second))
	if len(got) != 3 || got[0].SinceMs != 5000 || got[1].SinceMs != 2000 || got[2].Step != 9 {
		t.Errorf("%v", got)
	}
	own.replace("checkpoint ", nil, now)
	if got := own.list(now); len(got) != 1 || got[0].Step != 9 {
		t.Errorf("afterwards: %v", got)
	}
}
