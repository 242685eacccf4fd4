package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/port"
	"ringmaster/internal/sleep"
)

// Bounds on checking whether the advertised address leads here. Whatever is in front of this process (a relay, an address that
// is just being set up) may take a moment.
const (
	reachTime  = time.Second
	reachPause = 50 * time.Millisecond
	reachTries = 4 // in total, if the time runs out without an answer
)

// A name is known only after a while, and leads where it led before until caches forget that: a pod that is made again keeps its name and gets
// another address.
var namePatience, namePause = time.Minute, 500 * time.Millisecond

// listen opens a daemon's port. An address that cannot be listened on is a wrong configuration.
func listen(bind string, identity *certs.Identity, log *slog.Logger) (*port.Port, error) {
	port, err := port.Listen(port.Config{Bind: bind, Identity: identity, Logger: log})
	switch {
	case errors.Is(err, certs.ErrInsecure):
		return nil, &config.Problem{Text: err.Error()}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, &config.Problem{Text: fmt.Sprintf("bind: %s is no address of this machine, which has %s; set --bind", bind, ownAddresses())}
	}
	return port, err
}

// advertise decides which host:port the others dial to reach this daemon, and makes sure that it leads here. If the
// configured one names no host, it takes the interface that leads to the first of the addresses toward.
func advertise(ctx context.Context, port *port.Port, configured string, toward []string, log *slog.Logger) (string, error) {
	host, number, err := net.SplitHostPort(configured)
	if err != nil {
		return "", fmt.Errorf("advertise %s: %w", configured, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		ip, why, err := choose(ctx, toward)
		if err != nil {
			return "", &config.Problem{Text: fmt.Sprintf("advertise: %v; set --advertise", err)}
		}
		log.Info("chose the address that others dial", "address", ip.String(), "interface", interfaceOf(ip), "because", why)
		configured = net.JoinHostPort(ip.String(), number)
	}
	address, err := port.Advertise(configured)
	if err != nil {
		return "", &config.Problem{Text: err.Error()}
	}
	if ip := hostIP(ctx, address); ip != nil && interfaceOf(ip) == "" && !ip.IsLoopback() {
		log.Warn("the address that others dial is none of this machine's; looking whether something forwards it here", "address", address, "machine_has", ownAddresses())
	}
	return address, reachByName(ctx, port, address, log)
}

// reachByName is reach, with the patience that a name needs.
func reachByName(ctx context.Context, port *port.Port, address string, log *slog.Logger) error {
	host, _, _ := net.SplitHostPort(address) // Advertise has made it
	err := reach(ctx, port, address)
	if err == nil || net.ParseIP(host) != nil || errors.Is(err, certs.ErrInsecure) {
		return err
	}
	log.Info("waiting until the name that others dial leads to this process", "address", address, "at_most", namePatience, "reason", err)
	for end := time.Now().Add(namePatience); err != nil && time.Now().Before(end) && sleep.For(ctx, namePause); {
		err = reach(ctx, port, address)
	}
	return err
}

// reach makes sure that an address leads to this process.
func reach(ctx context.Context, port *port.Port, address string) error {
	for try := 1; ; try++ {
		err := reachOnce(ctx, port, address)
		// A process that was stopped meanwhile, or got no CPU, has not really had its time.
		if err == nil || try == reachTries || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return unreached(err, port, address)
		}
	}
}

// reachOnce tries for a while.
func reachOnce(ctx context.Context, port *port.Port, address string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	for {
		err := port.Reach(ctx, address)
		// A wrong answer will not change; where nothing answers, something may be about to.
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || !sleep.For(ctx, reachPause) {
			return err
		}
	}
}

// unreached says what is wrong with an address; nil stays nil.
func unreached(err error, port *port.Port, address string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, certs.ErrInsecure):
		return &config.Problem{Text: "advertise: " + err.Error()}
	}
	return &config.Problem{Text: fmt.Sprintf("advertise: %s does not lead back to this process, which listens on %v: %v; this machine has %s; set --advertise (or --bind)",
		address, port.Addr(), err, ownAddresses())}
}

// somewhere is an address that only the default route leads to. It is reserved for documentation; nothing is sent there.
const somewhere = "192.0.2.1:9"

// choose finds the IP address by which the others reach this machine: that of the interface that leads to one of them,
// or of the default route's. Loopback is chosen only if there is nothing else.
func choose(ctx context.Context, toward []string) (net.IP, string, error) {
	for _, address := range toward {
		if ip := routeTo(ctx, address); ip != nil && !ip.IsLoopback() {
			return ip, "it leads to " + address, nil
		}
	}
	if ip := routeTo(ctx, somewhere); ip != nil && !ip.IsLoopback() {
		return ip, "it has the default route", nil
	}
	for _, a := range addresses() {
		if a.ip.IsGlobalUnicast() {
			return a.ip, "it is the first one that is up", nil
		}
	}
	for _, a := range addresses() {
		if a.ip.IsLoopback() {
			return a.ip, "there is no other", nil
		}
	}
	return nil, "", errors.New("no interface of this machine has an address")
}

// routeTo is the address that packets from here to there would have as their source; nil if there is no route. No
// packet is sent.
func routeTo(ctx context.Context, there string) net.IP {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", there)
	if err != nil {
		return nil
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	return local.IP
}

// interfaceAddress is an address of an interface that is up.
type interfaceAddress struct {
	ip   net.IP
	name string
}

func addresses() []interfaceAddress {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []interfaceAddress
	for _, i := range interfaces {
		list, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				all = append(all, interfaceAddress{n.IP, i.Name})
			}
		}
	}
	return all
}

func interfaceOf(ip net.IP) string {
	for _, a := range addresses() {
		if a.ip.Equal(ip) {
			return a.name
		}
	}
	return ""
}

// ownAddresses lists this machine's addresses for people. Addresses that only reach neighbours are left out.
func ownAddresses() string {
	var all []string
	for _, a := range addresses() {
		if !a.ip.IsLinkLocalUnicast() {
			all = append(all, fmt.Sprintf("%v (%s)", a.ip, a.name))
		}
	}
	if len(all) == 0 {
		return "no address"
	}
	return strings.Join(all, ", ")
}

// checkReachable refuses a daemon that only its own machine can dial while the coordinators are elsewhere.
func checkReachable(ctx context.Context, address string, join []string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || len(join) == 0 || !net.ParseIP(host).IsLoopback() {
		return nil
	}
	for _, there := range join { // among them, for a coordinator, the others that found the cluster with it
		if ip := routeTo(ctx, there); ip == nil || ip.IsLoopback() || interfaceOf(hostIP(ctx, there)) != "" {
			return nil // a coordinator on this machine, or one with no known route
		}
	}
	return &config.Problem{Text: fmt.Sprintf("advertise: other machines cannot dial %s, and the coordinators are on others; this machine has %s; set --bind to one of these, or to 0.0.0.0", address, ownAddresses())}
}

// hostIP is the IP address of host:port; nil where it has none.
func hostIP(ctx context.Context, address string) net.IP {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil || len(ips) == 0 {
		return nil
	}
	return ips[0]
}
