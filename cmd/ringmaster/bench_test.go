package main

import "testing"

func TestBenchRefusesWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "gemm", "--format", "xml"},
		{"bench", "gemm", "--count", "0"},
		{"bench", "gemm", "--sizes", "8x8"},
		{"bench", "gemm", "--threads", "0"},
		{"bench", "kernels", "--kernels", "fft"},
		{"bench", "allreduce", "--bytes", "6"},
		{"bench", "train", "nowhere.yaml"},
		{"bench", "balance", "nowhere.yaml"},
		{"bench", "roofline", "nowhere.yaml"},
		{"bench", "scaling", "nowhere.yaml"},
	} {
		if code := run(args); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}
