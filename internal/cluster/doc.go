// Package cluster is the coordinator: it keeps a stream to every worker, asks what a job needs next, has Raft commit it, and tells the
// workers. What the log says is in package fsm, what is to be done in package decide, Raft and its disk in package raftnode.
package cluster
