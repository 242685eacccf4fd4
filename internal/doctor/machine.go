package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/tensor/kernel"
)

// What is written to try a disk, and what is too slow or too little.
const (
	trialBlock  = 1 << 20
	trialBlocks = 16
	trialSyncs  = 9
	trialTime   = 2 * time.Second // after that no more is written
	slowSync    = 50 * time.Millisecond
	slowBytes   = 20 << 20 // a second
	littleRoom  = 1 << 30
)

// diskCheck writes a little where state is to be kept, and looks how much room there is.
func diskCheck(ctx context.Context, o *Options) []Finding {
	dir, err := existing(o.Dir)
	if err != nil {
		return []Finding{fail(err.Error(), "name a folder by --dir")}
	}
	speed, sync, err := tryDisk(ctx, dir)
	if err != nil {
		return []Finding{fail(fmt.Sprintf("%s cannot be written: %v", dir, err), "make it writable for this user, free room, or name another --dir")}
	}
	text := fmt.Sprintf("%s takes %s/s, and a small write is safe after %v", dir, printable.Bytes(uint64(speed)), sync.Round(10*time.Microsecond))
	found := []Finding{ok("%s", text)}
	if sync > slowSync || speed < slowBytes {
		found[0] = warn(text, "put --dir onto a local disk, an SSD best: each view and checkpoint waits for it")
	}
	var room syscall.Statfs_t
	if err := syscall.Statfs(dir, &room); err != nil {
		return append(found, warn(fmt.Sprintf("how much room %s has is not known: %v", dir, err), "look by df"))
	}
	free := room.Bavail * uint64(room.Bsize)
	if text := fmt.Sprintf("%s has %s of room", dir, printable.Bytes(free)); free < littleRoom {
		found = append(found, warn(text, "free some, or name another --dir: a full disk stores no checkpoints"))
	} else {
		found = append(found, ok("%s", text))
	}
	return found
}

// existing is the folder, or the nearest one above it that exists.
func existing(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no folder", at)
		case err == nil:
			return at, nil
		case !os.IsNotExist(err) || filepath.Dir(at) == at:
			return "", err
		}
		at = filepath.Dir(at)
	}
}

// tryDisk measures bytes a second and how long a small write takes to be safe. What it writes is deleted.
func tryDisk(ctx context.Context, dir string) (speed float64, sync time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".ringmaster-doctor-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, trialBlock)
	for i := range block {
		block[i] = byte(i * 7919 >> 3) // so that no disk compresses it to nothing
	}
	began, written := time.Now(), 0
	for range trialBlocks {
		if _, err := f.Write(block); err != nil {
			return 0, 0, err
		}
		if written += len(block); ctx.Err() != nil || time.Since(began) > trialTime {
			break
		}
	}
	if err := f.Sync(); err != nil {
		return 0, 0, err
	}
	speed = float64(written) / time.Since(began).Seconds()
	var syncs []time.Duration
	for range trialSyncs {
		at := time.Now()
		if _, err := f.Write(block[:512]); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		if syncs = append(syncs, time.Since(at)); ctx.Err() != nil || time.Since(began) > 2*trialTime {
			break
		}
	}
	slices.Sort(syncs)
	return speed, syncs[len(syncs)/2], nil
}

// What processes of a cluster open at least.
const (
	fewFiles     = 1024
	tooFewFiles  = 128
	fewProcesses = 256
)

func limits(context.Context, *Options) []Finding {
	var all []Finding
	var files, processes unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		text := fmt.Sprintf("a process may open %s", number(files.Cur, "file"))
		switch remedy := "raise it: ulimit -n 4096, or LimitNOFILE= in the systemd unit"; {
		case files.Cur < tooFewFiles:
			all = append(all, fail(text, remedy))
		case files.Cur < fewFiles:
			all = append(all, warn(text, remedy))
		default:
			all = append(all, ok("%s", text))
		}
	}
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &processes); err == nil {
		if text := fmt.Sprintf("this user may run %s", number(processes.Cur, "thread")); processes.Cur < fewProcesses {
			all = append(all, warn(text, "raise it: ulimit -u 4096, or TasksMax= in the systemd unit"))
		} else {
			all = append(all, ok("%s", text))
		}
	}
	if has := host.Memory(); has > 0 {
		all = append(all, ok("this machine or control group has %s of memory", printable.Bytes(uint64(has))))
	}
	if n := host.KilledForMemory(); n > 0 {
		all = append(all, warn(fmt.Sprintf("the kernel has killed %s since it started, since memory was short", plural.Of(uint64(n), "process")), "look whose they were by dmesg, and leave the job more memory"))
	}
	return all
}

func number(n uint64, of string) string {
	if n >= 1<<40 {
		return "any number of " + of + "s"
	}
	return plural.Of(n, of)
}

func kernels(context.Context, *Options) []Finding {
	best, now := kernel.Best(), kernel.Current()
	switch {
	case best == kernel.PlainGo:
		return []Finding{warn("this CPU has no SIMD that the kernels use; they are plain Go, with the same bits, and about ten times slower", "train on an x86 CPU with AVX2 or on an ARM64 one")}
	case now != best:
		return []Finding{warn(fmt.Sprintf("%s kernels are forced, though this CPU can do %s", now, best), "unset "+kernel.EnvironmentVariable)}
	}
	return []Finding{ok("%s", best)}
}

// job checks the job's data and memory, as launch does before it starts anything.
func job(_ context.Context, o *Options) []Finding {
	if o.Job == nil {
		return nil
	}
	checked, err := launch.Check(o.Job)
	if err != nil {
		return []Finding{fail(err.Error(), "correct the job file or its data; ringmaster validate says the same")}
	}
	found := []Finding{ok("%s of data, fingerprint %x: the same on every machine of the cluster", plural.Of(checked.Samples, "sample"), checked.Fingerprint)}
	takes := fmt.Sprintf("the job takes %s on each worker and %s for each seat", printable.Bytes(uint64(checked.Memory.Job())), printable.Bytes(uint64(checked.Memory.Seat)))
	if err := checked.CheckMemory(o.Workers); err != nil {
		found = append(found, fail(err.Error(), "give the machine more memory, or the job less to hold"))
	} else {
		found = append(found, ok("%s; %s fit here", takes, plural.Of(o.Workers, "worker")))
	}
	var room syscall.Statfs_t
	dir, err := existing(o.Dir)
	if err != nil || syscall.Statfs(dir, &room) != nil {
		return found
	}
	needs := uint64(checked.Memory.State) * uint64(o.Job.Checkpoint.KeepLast+1)
	if free := room.Bavail * uint64(room.Bsize); needs > free {
		return append(found, fail(fmt.Sprintf("the job's checkpoints take up to %s, and %s has %s", printable.Bytes(needs), dir, printable.Bytes(free)), "free some, name another --dir, or take a smaller checkpoint.keep_last"))
	}
	return append(found, ok("its checkpoints take up to %s", printable.Bytes(needs)))
}
