package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestHostsHaveDefaults(t *testing.T) {
	if _, err := LoadHosts("../../configs/hosts.yaml"); err != nil {
		t.Error(err)
	}
	h, err := ParseHosts("dir/lab.yaml", []byte("hosts:\n- ssh: alice@node1.lab\n- {ssh: \"ssh://bob@10.0.0.2:2222\", workers: 2, port: 7170}\n- {ssh: gpu, threads: 3, address: 10.0.0.3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if h.Name != "lab" || h.Dir != "~/.local/share/ringmaster/lab" || h.Service != ServiceAuto {
		t.Errorf("%+v", h)
	}
	want := []Host{
		{SSH: "alice@node1.lab", Name: "node1.lab", Coordinator: true, Workers: 1, Port: 7070, WorkerPort: 7071},
		{SSH: "ssh://bob@10.0.0.2:2222", Name: "10.0.0.2", Coordinator: true, Workers: 2, Port: 7170, WorkerPort: 7171},
		{SSH: "gpu", Name: "gpu", Address: "10.0.0.3", Coordinator: true, Workers: 1, Threads: 3, Port: 7070, WorkerPort: 7071},
	}
	if fmt.Sprint(h.Hosts) != fmt.Sprint(want) {
		t.Errorf("hosts\n%+v\nwant\n%+v", h.Hosts, want)
	}
}

// Which hosts coordinate: the first, of three or more the first three, of those that may; or those that say so.
func TestHostsThatCoordinate(t *testing.T) {
	for text, want := range map[string]string{
		"[{ssh: a}]":                                                   "a",
		"[{ssh: a}, {ssh: b}]":                                         "a",
		"[{ssh: a}, {ssh: b}, {ssh: c}]":                               "abc",
		"[{ssh: a}, {ssh: b}, {ssh: c}, {ssh: d}]":                     "abc",
		"[{ssh: a, coordinator: false}, {ssh: b}]":                     "b",
		"[{ssh: a}, {ssh: b, coordinator: true}, {ssh: c}, {ssh: d}]":  "b",
		"[{ssh: a, coordinator: false}, {ssh: b}, {ssh: c}, {ssh: d}]": "bcd",
	} {
		h, err := ParseHosts("h.yaml", []byte("hosts: "+text))
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		for _, host := range h.Hosts {
			if host.Coordinator {
				got += host.Name
			}
		}
		if got != want {
			t.Errorf("%s: %s coordinate, want %s", text, got, want)
		}
	}
}

// What is wrong is said with its place, and nothing of it could reach a shell.
func TestHostsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                                 "h.yaml: hosts is missing",
		"hosts: []":                                        "h.yaml:1:8: hosts is missing",
		"hosts: {a: b}":                                    "h.yaml:1:8: hosts must be a list",
		"hosts: [{ssh: a, adress: b}]":                     "h.yaml:1:18: unknown key hosts[0].adress; did you mean address?",
		"hosts: [{name: a}]":                               "hosts[0].ssh is missing",
		"hosts: [{ssh: -oProxyCommand=x}]":                 "hosts[0].ssh: -oProxyCommand=x is nothing to type behind ssh",
		"hosts: [{ssh: 'a;b'}]":                            "hosts[0].ssh: a;b is nothing",
		"hosts: [{ssh: '$(x)'}]":                           "hosts[0].ssh: $(x) is nothing",
		"hosts: [{ssh: \"a\\nb\"}]":                        `hosts[0].ssh: "a\nb" is nothing`,
		"hosts: [{ssh: a}, {ssh: b@a}]":                    "two hosts are called a, the other is hosts[0]",
		"hosts: [{ssh: a, name: a/b}]":                     "hosts[0].name: a/b must be",
		"hosts: [{ssh: a, address: 'b:1'}]":                "hosts[0].address: b:1 is neither an IP address",
		"hosts: [{ssh: a, address: 0.0.0.0}]":              "no address that other hosts reach",
		"hosts: [{ssh: a, address: 127.0.0.1}, {ssh: b}]":  "no address that other hosts reach",
		"hosts: [{ssh: a, workers: -1}]":                   "hosts[0].workers must be from 0 to 256, not -1",
		"hosts: [{ssh: a, port: 70000}]":                   "hosts[0].port must be from 1 to 65535, not 70000",
		"hosts: [{ssh: a, port: 7072, worker_port: 7072}]": "the workers' ports 7072 to 7072 include the coordinator's, 7072",
		"hosts: [{ssh: a, coordinator: true}, {ssh: b, coordinator: true}]": "2 hosts have a coordinator: true; it takes 1, 3 or 5",
		"hosts: [{ssh: a, coordinator: false}]":                             "no host may have a coordinator",
		"hosts: [{ssh: a}, {ssh: b, workers: 0}]":                           "hosts[1].workers: the host has neither",
		"{dir: data, hosts: [{ssh: a}]}":                                    "dir: data must be an absolute path",
		"{dir: ~/../x, hosts: [{ssh: a}]}":                                  "dir: ~/../x must be",
		"{dir: /, hosts: [{ssh: a}]}":                                       "dir: / must be",
		"{service: upstart, hosts: [{ssh: a}]}":                             "service: upstart is not known; there are auto, systemd, detached",
	} {
		_, err := ParseHosts("h.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s gives\n%v\nwant\n%s", text, err, want)
		}
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add("hosts:\n- {ssh: alice@a, workers: 2}\n- ssh: b\n")
	f.Add("{name: x, dir: ~/x, service: systemd, hosts: [{ssh: a, address: \"::1\", port: 1, worker_port: 2, threads: 3}]}")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHosts("h.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, host := range h.Hosts {
			if host.SSH[0] == '-' || strings.ContainsAny(host.SSH, " \t\n;&|<>$`\\\"'()*?~#") || !validName(host.Name) || !validName(host.WorkerID(255)) {
				t.Errorf("%q is accepted: %+v", text, host)
			}
		}
	})
}
