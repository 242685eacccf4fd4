// Package node is a small kubelet: it runs the pods that a real API server has, each in a network namespace of its own, each container in a root
// that holds the programs and its volumes, as its user, without privileges. It carries out init containers, probes, restarts and graceful ends,
// and serves the logs. What it has not: images, cgroups, seccomp, network policies, and a proxy before services.
package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Name is the node's.
const Name = "node"

// look is how often the node asks the API for its pods.
const look = 200 * time.Millisecond

// Node runs pods.
type Node struct {
	api     kubernetes.Interface
	dir     string // of pods and logs
	image   string // a folder with bin
	network *Network
	log     func(format string, args ...any)

	mu   sync.Mutex
	pods map[types.UID]*pod
}

// Start registers the node and runs pods until ctx ends; then they are killed, and wait returns.
func Start(ctx context.Context, api kubernetes.Interface, net *Network, dir, image string, log func(string, ...any)) (n *Node, wait func(), err error) {
	n = &Node{api: api, dir: dir, image: image, network: net, log: log, pods: map[types.UID]*pod{}}
	if err := serveNames(ctx, api); err != nil {
		return nil, nil, err
	}
	if err := n.serveLogs(ctx); err != nil {
		return nil, nil, err
	}
	if err := n.register(ctx); err != nil {
		return nil, nil, err
	}
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if err := n.turn(ctx, &running); err != nil && ctx.Err() == nil {
				log("node: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(look):
			}
		}
	})
	return n, running.Wait, nil
}

// register makes the Node object: controllers take pods of a node that there is not for lost.
func (n *Node) register(ctx context.Context) error {
	capacity := core.ResourceList{core.ResourceCPU: resource.MustParse("64"), core.ResourceMemory: resource.MustParse("256Gi"), core.ResourcePods: resource.MustParse("100")}
	made, err := n.api.CoreV1().Nodes().Create(ctx, &core.Node{ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: map[string]string{"kubernetes.io/hostname": Name}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Status = core.NodeStatus{Capacity: capacity, Allocatable: capacity,
		Conditions:      []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
		Addresses:       []core.NodeAddress{{Type: core.NodeInternalIP, Address: Address}},
		DaemonEndpoints: core.NodeDaemonEndpoints{KubeletEndpoint: core.DaemonEndpoint{Port: kubeletPort}}}
	_, err = n.api.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

// turn takes new pods up and ends those that are to be deleted.
func (n *Node) turn(ctx context.Context, running *sync.WaitGroup) error {
	list, err := n.api.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		spec := &list.Items[i]
		if spec.Spec.NodeName == "" && spec.DeletionTimestamp == nil {
			bind := &core.Binding{ObjectMeta: metav1.ObjectMeta{Name: spec.Name, Namespace: spec.Namespace}, Target: core.ObjectReference{Kind: "Node", Name: Name}}
			if err := n.api.CoreV1().Pods(spec.Namespace).Bind(ctx, bind, metav1.CreateOptions{}); err != nil {
				n.log("bind %s: %v", spec.Name, err)
			}
			continue
		}
		n.mu.Lock()
		p := n.pods[spec.UID]
		if p == nil {
			p = &pod{node: n, spec: spec, dir: filepath.Join(n.dir, "pods", string(spec.UID)), ending: make(chan struct{})}
			n.pods[spec.UID] = p
			running.Go(func() { p.live(ctx) })
		}
		n.mu.Unlock()
		if spec.DeletionTimestamp != nil {
			p.end(time.Duration(*spec.DeletionGracePeriodSeconds) * time.Second)
		}
	}
	return nil
}

// Log is the file of a container's output.
func (n *Node) Log(namespace, pod, container string) string {
	return filepath.Join(n.dir, "logs", fmt.Sprintf("%s_%s_%s.log", namespace, pod, container))
}

func (n *Node) openLog(namespace, pod, container string) (*os.File, error) {
	path := n.Log(namespace, pod, container)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
