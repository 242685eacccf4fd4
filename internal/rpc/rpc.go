// Package rpc holds the control plane's messages and services, generated from ringmaster.proto, and the streaming of
// checkpoint files over them.
package rpc

//go:generate go -C gen run . ../ringmaster.proto
