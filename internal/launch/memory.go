package launch

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/trainer"
)

// checkMemory refuses a launch whose workers would never be seated, since they have too little memory, in bytes: their machine has for
// all of them, and each may use limit by itself; 0: that is not known. The rule is the leader's, whose sums hold the data too.
func checkMemory(job *config.Job, takes trainer.Memory, workers int, has, limit int64) error {
	memory := plan.Memory{Machine: uint64(has), Limit: uint64(limit), Job: uint64(takes.Job()), Seat: uint64(takes.Seat)}
	fits := func(workers int) bool {
		seats := memory.Seats(workers, job.Seats)
		return seats > 0 && workers*seats >= job.Seats
	}
	if fits(workers) {
		return nil
	}
	fewer := workers - 1
	for fewer > 0 && !fits(fewer) {
		fewer--
	}
	remedy := "take a smaller model, fewer seats or a smaller train.batch_per_seat, which is another job"
	if fewer >= max(1, job.MinWorkers) {
		remedy = fmt.Sprintf("--workers %d is the most that fits", fewer)
	}
	of := printable.Bytes(memory.Machine) + " on this machine"
	if room := memory.Room(workers); room == memory.Limit {
		of, remedy = "GOMEMLIMIT "+printable.Bytes(room), "raise that, or "+remedy
	}
	return job.Errorf("model", "the job does not fit into memory: of %s each of %s may take %s, the job takes %s there (state and its copy %s, samples and activations %s), and each of %s %s; %s",
		of, plural.Of(workers, "worker"), printable.Bytes(memory.Room(workers)), printable.Bytes(memory.Job), printable.Bytes(uint64(2*takes.State)), printable.Bytes(uint64(takes.Work)),
		plural.Of(job.Seats, "seat"), printable.Bytes(memory.Seat), remedy)
}

// The least memory that processes need besides a job, in bytes, as measured: this one, a coordinator, and a worker without a job.
const (
	launchBytes      = 20 << 20
	coordinatorBytes = 24 << 20
	workerBytes      = 16 << 20
)

// checkProcesses refuses a launch whose processes do not fit together into what the machine, or the control group of this process, has;
// 0: that is not known. In a small group it is they that take the memory, not the job, and the kernel would kill one of them.
func checkProcesses(job *config.Job, takes trainer.Memory, workers, coordinators int, has int64) error {
	processes := launchBytes + int64(coordinators)*coordinatorBytes + int64(workers)*workerBytes
	jobs := int64(workers)*takes.Job() + int64(job.Seats)*takes.Seat
	if has == 0 || processes+jobs <= has {
		return nil
	}
	return job.Errorf("model", "the launch does not fit into memory: this machine or control group has %s; %s, %s and launch itself take %s at the least, and the job takes %s in them; give it more memory, or take fewer --workers or --coordinators",
		printable.Bytes(uint64(has)), plural.Of(coordinators, "coordinator"), plural.Of(workers, "worker"), printable.Bytes(uint64(processes)), printable.Bytes(uint64(jobs)))
}

// CheckMemory refuses a number of workers on this machine that it has too little memory for, as a launch does.
func (c *Checked) CheckMemory(workers int) error {
	return checkMemory(c.Job, c.Memory, workers, host.Memory(), host.MemoryLimit())
}
