// Package netns tests whole clusters of real processes on several hosts, which are network namespaces of this machine,
// while the network between them breaks. The tests need root, iproute2 and the build tag netns: make partitions.
package netns
