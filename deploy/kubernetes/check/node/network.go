package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Address is the node's, on the pods' bridge.
const Address = "10.93.0.1"

const domain = "cluster.local"

// Network gives each pod a namespace and an address, which no other one gets after it.
type Network struct{}

// last is the number of the last pod of this process.
var last atomic.Int64

// OpenNetwork makes the bridge. The test has a network namespace of its own, which goes with it.
func OpenNetwork() (*Network, error) {
	const names = "/run/netns" // of the test alone, as its mounts are
	if err := errors.Join(os.MkdirAll(names, 0o755), unix.Mount("tmpfs", names, "tmpfs", 0, "")); err != nil {
		return nil, err
	}
	own, err := os.CreateTemp("", "resolv-*.conf")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(own, "nameserver %s\n", Address)
	if err := errors.Join(err, own.Close(), unix.Mount(own.Name(), "/etc/resolv.conf", "", unix.MS_BIND, ""), os.Remove(own.Name())); err != nil {
		return nil, fmt.Errorf("names of pods for the test itself: %w", err)
	}
	_ = ip("link delete br0") // of the test before
	for _, args := range []string{"link set lo up", "link add br0 type bridge", "addr add " + Address + "/16 dev br0", "link set br0 up"} {
		if err := ip("%s", args); err != nil {
			return nil, err
		}
	}
	return &Network{}, nil
}

func ip(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, out)
	}
	return nil
}

// add makes a pod's namespace.
func (n *Network) add() (namespace, address string, err error) {
	number := last.Add(1)
	namespace, address = fmt.Sprintf("pod%d", number), fmt.Sprintf("10.93.%d.%d", 1+number/200, 1+number%200)
	for _, line := range []string{"netns add " + namespace,
		fmt.Sprintf("link add v%d type veth peer name eth0 netns %s", number, namespace),
		fmt.Sprintf("link set v%d master br0 up", number),
		"-n " + namespace + " link set lo up",
		fmt.Sprintf("-n %s addr add %s/16 dev eth0", namespace, address),
		"-n " + namespace + " link set eth0 up",
		fmt.Sprintf("-n %s route add default via %s", namespace, Address)} {
		if err := ip("%s", line); err != nil {
			return "", "", err
		}
	}
	return namespace, address, nil
}

func (n *Network) remove(namespace string) error { return ip("netns delete %s", namespace) }

// serveNames answers the pods' questions for names of services and of their pods from the API's EndpointSlices. Behind a service with an
// address of its own there would be a proxy: here its name stands for the pods that are ready.
func serveNames(ctx context.Context, api kubernetes.Interface) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", net.JoinHostPort(Address, "53"))
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		conn.Close()
	}()
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := resolve(ctx, api, buffer[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return nil
}

func resolve(ctx context.Context, api kubernetes.Interface, question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}, Questions: m.Questions}
	found := addressesOf(ctx, api, strings.TrimSuffix(q.Name.String(), "."))
	if len(found) == 0 {
		answer.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range found {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.AResource{A: a.As4()}})
		}
	}
	packed, err := answer.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// addressesOf are those of [POD.]SERVICE.NAMESPACE.svc.cluster.local.
func addressesOf(ctx context.Context, api kubernetes.Interface, name string) []netip.Addr {
	inside, ok := strings.CutSuffix(strings.ToLower(name), ".svc."+domain)
	parts := strings.Split(inside, ".")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return nil
	}
	host := ""
	if len(parts) == 3 {
		host, parts = parts[0], parts[1:]
	}
	slices, err := api.DiscoveryV1().EndpointSlices(parts[1]).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + parts[0]})
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if !ready || host != "" && (e.Hostname == nil || *e.Hostname != host) {
				continue
			}
			for _, a := range e.Addresses {
				if parsed, err := netip.ParseAddr(a); err == nil && parsed.Is4() {
					out = append(out, parsed)
				}
			}
		}
	}
	return out
}
