// Package kernel holds the computing kernels: products of matrices (gemm*.go), vector kernels (vec*.go), conversions to
// 16-bit formats and from bytes (half*.go, bytes.go), and the team of threads that they run on.
//
// Every kernel exists in plain Go, which defines its bits, and in assembly for the tiers that a machine may have: AVX-512
// and AVX2, or NEON. All tiers give the same bits, NaNs counting as equal, and so do any number of threads:
//
//   - an operation is rounded once and correctly; FMA is one in plain Go too;
//   - each element of a product is one chain of fused multiply-adds along k, ascending;
//   - a sum along a vector has sixteen lanes and one tree (see vec.go), one down columns takes the rows in ascending order;
//   - elementary functions are polynomials of our own, with one order of operations;
//   - there are no estimates of reciprocals, and denormal numbers count as what they are; but the exponentials of a softmax and of
//     a sigmoid are 0 below about 2^-126.
//
// The assembly is written by the programs in gen, a module of its own: go generate runs them.
package kernel
