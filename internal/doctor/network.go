package doctor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/client"
	"ringmaster/internal/printable"
)

// ports tries to listen where daemons shall, over TCP and UDP.
func ports(ctx context.Context, o *Options) []Finding {
	var all []Finding
	for _, bind := range o.Binds {
		all = append(all, portFree(ctx, bind))
	}
	return all
}

func portFree(ctx context.Context, bind string) Finding {
	var listening net.ListenConfig
	tcp, err := listening.Listen(ctx, "tcp", bind)
	if err != nil {
		return portTaken(ctx, bind, "TCP", err)
	}
	defer tcp.Close()
	udp, err := listening.ListenPacket(ctx, "udp", tcp.Addr().String())
	if err != nil {
		return portTaken(ctx, bind, "UDP", err)
	}
	defer udp.Close()
	return ok("%s is free, TCP and UDP", bind)
}

func portTaken(ctx context.Context, bind, protocol string, err error) Finding {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		by := "another process"
		if _, text, split := net.SplitHostPort(bind); split == nil && protocol == "TCP" {
			if port, err := strconv.ParseUint(text, 10, 16); err == nil {
				by = listener(ctx, uint16(port), by)
			}
		}
		return fail(fmt.Sprintf("%s is in use over %s by %s", bind, protocol, by), "end that process, or choose another port by --bind")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fail(bind+" is no address of this machine", "choose one that interfaces lists, or 0.0.0.0")
	case errors.Is(err, syscall.EACCES):
		return fail(bind+": ports below 1024 need privileges", "choose a port from 1024 on")
	}
	return fail(fmt.Sprintf("%s: %v", bind, err), "choose an address that interfaces lists")
}

// listener names the process that listens on a TCP port, as far as this one may know: "4711 (nginx)".
func listener(ctx context.Context, port uint16, unknown string) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if inode, ok := listens(line, port); ok {
				sockets["socket:["+inode+"]"] = true
			}
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if ctx.Err() != nil {
			break
		}
		open, _ := os.ReadDir(process + "/fd") // of others' processes nothing is known
		for _, f := range open {
			if target, err := os.Readlink(process + "/fd/" + f.Name()); err == nil && sockets[target] {
				name, _ := os.ReadFile(process + "/comm")
				return fmt.Sprintf("process %s (%s)", filepath.Base(process), printable.Line(strings.TrimSpace(string(name)), 40))
			}
		}
	}
	return unknown
}

// listens reads a line of /proc/net/tcp: number, local address:port, remote one, state, ..., the inode in the tenth place.
func listens(line string, port uint16) (inode string, is bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != "0A" {
		return "", false
	}
	_, text, _ := strings.Cut(fields[1], ":")
	number, err := hex.DecodeString(text)
	if err != nil || len(number) != 2 {
		return "", false
	}
	return fields[9], uint16(number[0])<<8|uint16(number[1]) == port
}

// interfaces lists the addresses that other machines may dial, and which of them the coordinators would be given.
func interfaces(ctx context.Context, o *Options) []Finding {
	all, err := net.Interfaces()
	if err != nil {
		return []Finding{fail(err.Error(), "look at the network's configuration: ip addr")}
	}
	var addresses []string
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		own, _ := i.Addrs()
		for _, a := range own {
			if network, isIP := a.(*net.IPNet); isIP && !network.IP.IsLinkLocalUnicast() {
				addresses = append(addresses, fmt.Sprintf("%v (%s)", network.IP, i.Name))
			}
		}
	}
	if len(addresses) == 0 {
		return []Finding{warn("only loopback is up", "that is enough for ringmaster launch; for clusters on several machines bring an interface up")}
	}
	found := []Finding{ok("others may dial %s", strings.Join(addresses, ", "))}
	for _, there := range o.Cluster {
		found = append(found, route(ctx, there))
	}
	return found
}

// route says from which address a coordinator is dialled, which is the one that a daemon bound to 0.0.0.0 advertises.
func route(ctx context.Context, there string) Finding {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", there) // sends nothing
	if err != nil {
		return fail(fmt.Sprintf("no route to coordinator %s: %v", there, err), "correct the address, the name server or the routes")
	}
	defer conn.Close()
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	return ok("a daemon here would advertise %s to coordinator %s", host, there)
}

// Clocks that differ by more than these matter to certificates and to people who compare logs.
const (
	skewWarn = 5 * time.Second
	skewFail = 5 * time.Minute
)

// clocks compares this machine's clock with the coordinators'.
func clocks(ctx context.Context, o *Options) []Finding {
	if len(o.Cluster) == 0 {
		return []Finding{ok("not compared: no --cluster was named")}
	}
	var all []Finding
	for _, address := range o.Cluster {
		asking, cancel := context.WithTimeout(ctx, o.Each/time.Duration(len(o.Cluster)+1))
		c := client.New([]string{address}, o.Dial...)
		before := o.Now()
		theirs, err := c.Clock(asking)
		after := o.Now()
		cancel()
		_ = c.Close()
		if err != nil {
			all = append(all, fail(fmt.Sprintf("coordinator %s does not answer: %s", address, certs.Reason(err)), "start it, correct the address or --certs, or open its port in the firewall"))
			continue
		}
		all = append(all, clock(address, theirs, before, after))
	}
	return all
}

// clock judges a clock that was read between two moments of this machine's.
func clock(address string, theirs, before, after time.Time) Finding {
	ahead := theirs.Sub(before.Add(after.Sub(before) / 2))
	uncertain := after.Sub(before) / 2
	text := fmt.Sprintf("the clock of coordinator %s is %v off this one's (give or take %v)", address, ahead.Round(time.Millisecond), uncertain.Round(time.Millisecond))
	remedy := "set both clocks by NTP (timedatectl set-ntp true): a certificate of one is not valid yet on the other"
	switch off := ahead.Abs() - uncertain; {
	case off > skewFail:
		return fail(text, remedy)
	case off > skewWarn:
		return warn(text, remedy)
	}
	return ok("%s", text)
}

// expiresSoon is when a certificate's end is worth a warning.
const expiresSoon = 30 * 24 * time.Hour

func certificates(_ context.Context, o *Options) []Finding {
	if o.Certs == "" {
		for _, bind := range append(append([]string{}, o.Binds...), o.Cluster...) {
			if host, _, err := net.SplitHostPort(bind); err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
				return []Finding{fail("none, and "+bind+" is beyond loopback, where everything speaks mutual TLS", "make one: ringmaster certs node ID --role ROLE, and name its folder by --certs")}
			}
		}
		return []Finding{ok("none: over loopback nothing needs them")}
	}
	i, err := certs.Load(o.Certs, o.Now())
	if err != nil {
		return []Finding{fail(err.Error(), "ringmaster certs --help says how certificates are made")}
	}
	days := int(i.Expires.Sub(o.Now()).Hours() / 24)
	text := fmt.Sprintf("%s, valid until %s (%d days)", i.Peer, i.Expires.UTC().Format(time.DateOnly), days)
	if i.Expires.Sub(o.Now()) < expiresSoon {
		return []Finding{warn(text, fmt.Sprintf("make a new one in time: ringmaster certs node %s --role %s", i.ID, i.Role))}
	}
	return []Finding{ok("%s", text)}
}
