// Package cluster is the coordinator: it keeps a stream to every worker, asks what a job needs next, has Raft commit it, and tells the
// workers. The log's state is in package fsm, the decisions are in package decide, Raft and its disk in package raftnode.
package cluster
