//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// Where the emulated PC finds its work.
const (
	workFolder      = "/work"
	binaryFile      = "/binary"
	argumentsFile   = "/arguments"
	environmentFile = "/environment"
	featureFile     = "/feature"
)

// The last line of the serial port.
const (
	verdictPassed = "emulate: the command ended well"
	verdictFailed = "emulate: the command failed"
)

// beInit is the emulated PC's first process: it carries out the command, says how that ended and switches the PC off.
func beInit() {
	verdict := verdictPassed
	if err := carryOut(); err != nil {
		fmt.Println(err)
		verdict = verdictFailed
	}
	fmt.Println(verdict)
	const drain, wait = 0x5409, 1 // tcdrain: what is on its way would be lost
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, os.Stdout.Fd(), drain, wait)
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func carryOut() error {
	if err := syscall.Mount("dev", "/dev", "devtmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	console, err := os.OpenFile("/dev/ttyS0", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	os.Stdout = console
	feature, err := os.ReadFile(featureFile)
	if err != nil {
		return err
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(cpu)), string(feature)) {
		return fmt.Errorf("this CPU has no %s as Linux sees it", feature)
	}
	arguments, err := os.ReadFile(argumentsFile)
	if err != nil {
		return err
	}
	environment, err := os.ReadFile(environmentFile)
	if err != nil {
		return err
	}
	c := exec.Command(binaryFile, strings.Fields(string(arguments))...)
	c.Dir, c.Stdout, c.Stderr = workFolder, console, console
	c.Env = append(strings.Fields(string(environment)), "HOME=/tmp", "TMPDIR=/tmp")
	return c.Run()
}
