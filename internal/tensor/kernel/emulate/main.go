//go:build linux

// Command emulate runs a test binary on a CPU that this machine does not have: it boots a Linux whose first process is the test in
// Bochs, an emulator of PCs that knows AVX-512. It is made for go test -exec:
//
//	go test -exec 'emulate -kernel /boot/vmlinuz-6.1.0-amd64' ./internal/tensor/kernel
//
// The binary must be static. It finds its package's testdata and what its environment names as RINGMASTER_…. Debian's
// packages bochs, bochs-term, isolinux, syslinux-common and xorriso are needed, and a kernel (of linux-image-cloud-amd64, say).
// An emulated second takes this machine about ten.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// machine is the emulated PC and where to find what boots it.
type machine struct {
	kernel, cpu   string
	isolinux      string // ISOLINUX's first stage,
	ldlinux       string // and its second
	bios, vgaBIOS string
	feature       string // that Linux must find in the CPU
	memory        int    // MiB
	keep          bool
}

func main() {
	if os.Getpid() == 1 {
		beInit()
	}
	var m machine
	flag.StringVar(&m.kernel, "kernel", "", "a Linux `kernel` for x86-64, with its drivers for serial ports built in")
	flag.StringVar(&m.cpu, "cpu", "corei7_skylake_x", "Bochs's name of the `CPU`; bochs --help cpu lists them")
	flag.StringVar(&m.feature, "feature", "avx512vl", "a `flag` of /proc/cpuinfo without which nothing is carried out")
	flag.StringVar(&m.isolinux, "isolinux", "/usr/lib/ISOLINUX/isolinux.bin", "the boot loader's first `file`")
	flag.StringVar(&m.ldlinux, "ldlinux", "/usr/lib/syslinux/modules/bios/ldlinux.c32", "the boot loader's second `file`")
	flag.StringVar(&m.bios, "bios", "/usr/share/bochs/BIOS-bochs-latest", "`file` with the BIOS")
	flag.StringVar(&m.vgaBIOS, "vga-bios", "/usr/share/vgabios/vgabios.bin", "`file` with the VGA BIOS")
	flag.IntVar(&m.memory, "memory", 1024, "memory in `MiB`")
	flag.BoolVar(&m.keep, "keep", false, "keep the folder with the PC's disk and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT) // the last: go test's timeout
	defer stop()
	passed, err := m.run(ctx, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "emulate:", err)
		os.Exit(2)
	}
	if !passed {
		os.Exit(1)
	}
}

// run boots the PC with a command and copies what that prints. It reports whether the command was successful.
func (m *machine) run(ctx context.Context, command []string) (passed bool, err error) {
	if len(command) == 0 {
		return false, errors.New("usage: emulate [flags] BINARY [ARGUMENT...]")
	}
	for _, f := range []string{m.kernel, m.isolinux, m.ldlinux, m.bios, m.vgaBIOS} {
		if _, err := os.Stat(f); err != nil {
			return false, fmt.Errorf("%w; install bochs, bochs-term, isolinux and xorriso, and name a kernel by -kernel", err)
		}
	}
	dir, err := os.MkdirTemp("", "emulate-")
	if err != nil {
		return false, err
	}
	if m.keep {
		fmt.Fprintln(os.Stderr, "emulate: in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := m.makeDisk(ctx, dir, command); err != nil {
		return false, err
	}
	serial := filepath.Join(dir, "serial")
	if err := os.WriteFile(serial, nil, 0o644); err != nil {
		return false, err
	}
	// The debugger of Debian's build waits for the command to begin, and the display for a terminal.
	begin := filepath.Join(dir, "begin")
	if err := errors.Join(os.WriteFile(begin, []byte("c\n"), 0o644), os.WriteFile(filepath.Join(dir, "bochsrc"), m.settings(dir), 0o644)); err != nil {
		return false, err
	}
	bochs := exec.CommandContext(ctx, "script", "-qec", fmt.Sprintf("bochs -q -f %s/bochsrc -rc %s", dir, begin), filepath.Join(dir, "screen"))
	bochs.Cancel = func() error { return bochs.Process.Signal(syscall.SIGTERM) } // script passes it on
	bochs.Env = append(os.Environ(), "TERM=xterm")
	ended := make(chan error, 1)
	if err := bochs.Start(); err != nil {
		return false, err
	}
	go func() { ended <- bochs.Wait(); close(ended) }()
	verdict, err := follow(serial, ended, os.Stdout)
	if err != nil {
		return false, err
	}
	switch verdict {
	case verdictPassed:
		return true, nil
	case verdictFailed:
		return false, nil
	}
	return false, fmt.Errorf("the PC stopped before the command had ended; -keep leaves its logs")
}

// settings is Bochs's configuration.
func (m *machine) settings(dir string) []byte {
	return fmt.Appendf(nil, `megs: %d
cpu: model=%s, count=1, ips=50000000, reset_on_triple_fault=0
romimage: file=%s
vgaromimage: file=%s
ata0-master: type=cdrom, path=%s/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=%s/serial
display_library: term
vga: extension=vbe, update_freq=1, realtime=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
log: %s/log
clock: sync=none, time0=utc
panic: action=fatal
`, m.memory, m.cpu, m.bios, m.vgaBIOS, dir, dir, dir)
}

// makeDisk makes the CD to boot from: kernel and a file system in memory with this program as its first process.
func (m *machine) makeDisk(ctx context.Context, dir string, command []string) error {
	boot := filepath.Join(dir, "cd", "isolinux")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{m.kernel: "vmlinuz", m.isolinux: "isolinux.bin", m.ldlinux: "ldlinux.c32"} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(boot, to), content, 0o644); err != nil {
			return err
		}
	}
	// Bochs 2.7 and Linux disagree about the size of saved registers in their compact form, and Linux then does without AVX:
	// features 321 and 323 are that form.
	const menu = `default linux
prompt 0
timeout 1
label linux
 kernel /isolinux/vmlinuz
 append initrd=/isolinux/initrd rdinit=/init console=ttyS0 quiet clearcpuid=321,323 nokaslr mitigations=off tsc=reliable lpj=1000000 no_timer_check panic=1
`
	if err := os.WriteFile(filepath.Join(boot, "isolinux.cfg"), []byte(menu), 0o644); err != nil {
		return err
	}
	if err := makeMemoryDisk(filepath.Join(boot, "initrd"), command, m.feature); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "xorriso", "-as", "mkisofs", "-quiet", "-o", filepath.Join(dir, "disk.iso"), "-b", "isolinux/isolinux.bin",
		"-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", filepath.Join(dir, "cd")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("xorriso: %w: %s", err, out)
	}
	return nil
}

// makeMemoryDisk packs this program, the command's binary, its arguments and environment, and the folder's testdata.
func makeMemoryDisk(path string, command []string, feature string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, _ := gzip.NewWriterLevel(file, gzip.BestSpeed)
	a := &archive{to: packed}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	a.folder("dev")
	a.folder("proc")
	a.folder("tmp")
	a.folder(strings.TrimPrefix(workFolder, "/"))
	a.copied("init", self)
	a.copied(strings.TrimPrefix(binaryFile, "/"), command[0])
	a.file(strings.TrimPrefix(argumentsFile, "/"), []byte(strings.Join(command[1:], "\n")))
	var variables []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "RINGMASTER_") {
			variables = append(variables, v)
		}
	}
	a.file(strings.TrimPrefix(environmentFile, "/"), []byte(strings.Join(variables, "\n")))
	a.file(strings.TrimPrefix(featureFile, "/"), []byte(feature))
	if _, err := os.Stat("testdata"); err == nil {
		a.tree(strings.TrimPrefix(workFolder, "/"), "testdata")
	}
	a.end()
	return errors.Join(a.err, packed.Close())
}

// follow copies the PC's serial line until the PC is switched off, and finds the verdict in it.
func follow(serial string, ended <-chan error, out io.Writer) (verdict string, err error) {
	file, err := os.Open(serial)
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines, line, off := bufio.NewReader(file), "", false
	for {
		part, err := lines.ReadString('\n')
		line += part
		switch {
		case errors.Is(err, io.EOF) && off:
			return verdict, nil
		case errors.Is(err, io.EOF):
			select {
			case <-ended:
				off = true // what it has written last is still to be read
			case <-time.After(100 * time.Millisecond):
			}
			continue
		case err != nil:
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == verdictPassed || line == verdictFailed {
			verdict = line
		} else if _, err := fmt.Fprintln(out, line); err != nil {
			return "", err
		}
		line = ""
	}
}
