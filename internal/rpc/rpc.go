// Package rpc holds the control plane's messages and services, generated from ringmaster.proto.
package rpc

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative ringmaster.proto
