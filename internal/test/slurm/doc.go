// Package slurm trains jobs in a real Slurm of two nodes on this machine.
package slurm
