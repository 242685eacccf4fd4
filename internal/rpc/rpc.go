// Package rpc holds the control plane's messages and services, generated from ringmaster.proto, the streaming of
// checkpoint files over them, and the codec that sends every text.
package rpc

//go:generate go -C gen run . ../ringmaster.proto
