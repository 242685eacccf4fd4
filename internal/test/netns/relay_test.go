//go:build netns

package netns

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ringmaster/internal/tether"
)

// The relay is this program itself, started in the router's namespace. Traffic from the stations is routed into a TUN device,
// where the relay reads it packet by packet; it drops some, holds the others back, and writes them into the device again,
// from which the router routes them on. So TCP and UDP meet delay and loss as they are, without netem in the kernel.
const (
	relayVariable   = "RINGMASTER_NETNS_RELAY" // a weather in JSON
	relayDevice     = "tun0"
	relayTable      = "100"
	relayPreference = "20000"
)

// weather is what a relay does to packets, in each direction between two stations by itself.
type weather struct {
	Seed   uint64
	Delay  time.Duration // of each packet
	Jitter time.Duration // more or less than that, at most; packets do not overtake each other
	Loss   float64       // the share of packets that are lost
	Every  time.Duration // about so often
	Burst  time.Duration // all packets are lost for so long
	Resets float64       // the share of TCP packets in whose stead the receiver gets a reset of its connection
}

// newRelayedNetwork makes a router behind which everything goes through a relay.
func newRelayedNetwork(t *testing.T, w weather) *network {
	t.Helper()
	n := newNetwork(t)
	n.relayed = true
	n.ip("-n", n.router, "tuntap", "add", "dev", relayDevice, "mode", "tun")
	n.ip("-n", n.router, "link", "set", relayDevice, "txqueuelen", "2000", "up")
	n.ip("-n", n.router, "route", "add", "default", "dev", relayDevice, "table", relayTable)
	for _, which := range []string{"all", relayDevice} { // packets come back from another device than their source is behind
		n.inside(n.router, "sysctl", "-q", "-w", "net.ipv4.conf."+which+".rp_filter=0")
	}
	spec, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "relay.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", n.router, self)
	cmd.Env = append(os.Environ(), relayVariable+"="+string(spec))
	cmd.Stderr = log
	tether.Bind(cmd, parent)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if text, _ := os.ReadFile(log.Name()); len(text) > 0 {
			t.Errorf("the relay: %s", text)
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, err := exec.Command("ip", "-n", n.router, "link", "show", relayDevice).Output()
		if err == nil && strings.Contains(string(out), "LOWER_UP") && !strings.Contains(string(out), "NO-CARRIER") {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("the relay does not come up: %s %v", out, err)
		}
	}
}

// relay carries packets until its device is gone.
func relay(spec string) error {
	var w weather
	if err := json.Unmarshal([]byte(spec), &w); err != nil {
		return err
	}
	device, err := openDevice(relayDevice)
	if err != nil {
		return fmt.Errorf("open %s: %w", relayDevice, err)
	}
	lanes := map[[8]byte]*lane{}
	buf := make([]byte, 1<<16)
	for {
		n, err := device.Read(buf)
		if err != nil {
			return fmt.Errorf("read %s: %w", relayDevice, err)
		}
		if n < 20 || buf[0]>>4 != 4 {
			continue // the kernel's own IPv6 chatter
		}
		ends := [8]byte(buf[12:20])
		l := lanes[ends]
		if l == nil {
			l = newLane(w, ends, device)
			lanes[ends] = l
		}
		l.take(append([]byte(nil), buf[:n]...), time.Now())
	}
}

// openDevice attaches to a TUN device.
func openDevice(name string) (*os.File, error) {
	const (
		tunSetIff = 0x400454ca
		modeTun   = 0x0001
		plainIP   = 0x1000 // no header of the device's own before each packet
	)
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var request struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = modeTun | plainIP
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return nil, errors.Join(errno, syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// lane is one direction between two stations.
type lane struct {
	weather
	random *rand.Rand
	queue  chan parcel
	last   time.Time // when the last packet taken is let go
	burst  time.Time // until when all are lost
	next   time.Time // when the next burst begins
}

// parcel is a packet and when it is let go.
type parcel struct {
	packet []byte
	at     time.Time
}

func newLane(w weather, ends [8]byte, to *os.File) *lane {
	l := &lane{weather: w, random: rand.New(rand.NewPCG(w.Seed, binary.BigEndian.Uint64(ends[:]))), queue: make(chan parcel, 4096)}
	l.next = time.Now().Add(l.untilBurst())
	go func() {
		for p := range l.queue {
			time.Sleep(time.Until(p.at))
			_, _ = to.Write(p.packet) // a packet that cannot be sent is a lost one
		}
	}()
	return l
}

func (l *lane) untilBurst() time.Duration {
	return time.Duration(l.random.ExpFloat64() * float64(l.Every))
}

// take decides what becomes of a packet.
func (l *lane) take(packet []byte, now time.Time) {
	if l.Every > 0 && now.After(l.next) {
		l.burst = now.Add(l.Burst)
		l.next = l.burst.Add(l.untilBurst())
	}
	if now.Before(l.burst) || l.random.Float64() < l.Loss {
		return
	}
	if l.random.Float64() < l.Resets {
		packet = reset(packet)
	}
	at := now.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(l.random.Int64N(2*int64(l.Jitter))) - l.Jitter)
	}
	if at.Before(l.last) {
		at = l.last
	}
	select {
	case l.queue <- parcel{packet, at}:
		l.last = at
	default: // a queue that is full loses what comes
	}
}

// reset makes a TCP packet one that resets its connection. Others stay as they are.
func reset(packet []byte) []byte {
	const protocolTCP, headerTCP, flagRST, flagACK = 6, 20, 0x04, 0x10
	head := int(packet[0]&0x0f) * 4
	if packet[9] != protocolTCP || len(packet) < head+headerTCP {
		return packet
	}
	packet = packet[:head+headerTCP]
	ip, tcp := packet[:head], packet[head:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))
	tcp[12], tcp[13] = headerTCP/4<<4, flagRST|flagACK
	binary.BigEndian.PutUint16(tcp[16:], 0)
	pseudo := uint32(protocolTCP + headerTCP)
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo, tcp))
	return packet
}

// checksum is the internet's, over an even number of bytes.
func checksum(sum uint32, data []byte) uint16 {
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// rough are networks that work, but badly.
var rough = []struct {
	name string
	weather
	steps int
}{
	{"far", weather{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}, 150},
	{"lossy", weather{Delay: time.Millisecond, Loss: 0.015}, 300},
	{"far, lossy, in bursts", weather{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.01, Every: 30 * time.Second, Burst: 300 * time.Millisecond}, 60},
	{"with connections reset", weather{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.002, Resets: 0.00005}, 200},
}

// roughStandstill is how long the ring may stand still on such a network.
const roughStandstill = 20 * time.Second

// On a network that delays, loses, stalls and resets, training goes on and reaches the same bits.
func TestRoughNetworks(t *testing.T) {
	for _, w := range rough {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			want, err := undisturbed(w.steps)
			if err != nil {
				t.Fatal(err)
			}
			w.Seed = *seed
			c := newClusterOn(t, newRelayedNetwork(t, w.weather), rate)
			for _, n := range append(c.coordinators, c.workers...) {
				c.start(n)
			}
			c.leader()
			j := c.submit(jobFile, jobSets(w.steps)...)
			j.reach(1, patience)
			began := time.Now()
			s := j.end(2 * afterwards)
			check(t, c, j, s, w.steps, want)
			standstill := j.standstill(began)
			if standstill > roughStandstill {
				t.Errorf("the ring stood still for %v", standstill)
			}
			t.Logf("%d steps in %.1f s, longest standstill %v; views:%s", w.steps, time.Since(began).Seconds(), standstill.Round(100*time.Millisecond), views(s))
		})
	}
}
