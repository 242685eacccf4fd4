// Package ssh starts clusters by ringmaster up over real sshd, on hosts that are network namespaces of this machine.
package ssh
