// vector times the loops that the vector kernels are compared with, as a C compiler vectorises them: gcc -O3 -march=native
// -fno-math-errno -fno-trapping-math, without which the square root stays scalar. It takes the clock (wall or cpu) and
// reads lines "kernel n calls", answering each with the nanoseconds that so many calls took, or -1 for a kernel it has not.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Allows libmvec's exponential, which the header otherwise declares under -ffast-math only.
__attribute__((simd("notinbranch"))) extern float expf(float);

static float *a, *b, *c, *d;

static float *numbers(long n, float lowest) {
	float *p = aligned_alloc(4096, (n * sizeof(float) + 4095) / 4096 * 4096);
	uint32_t seed = 1;
	for (long i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (float)((int32_t)seed >> 8) / (1 << 23);
		if (p[i] < lowest) p[i] = -p[i];
	}
	return p;
}

__attribute__((noinline)) static void add(float *restrict z, const float *restrict x, const float *restrict y, long n) {
	for (long i = 0; i < n; i++) z[i] = x[i] + y[i];
}

__attribute__((noinline)) static void relu_backward(float *restrict z, const float *restrict x, const float *restrict y, long n) {
	for (long i = 0; i < n; i++) z[i] = y[i] > 0 ? x[i] : 0;
}

__attribute__((noinline)) static void adam(float *restrict p, float *restrict m, float *restrict v, const float *restrict g, long n) {
	const float scale = 1.0f / 32, clip = 1, b1 = 0.1f, b2 = 0.001f, alpha = 0.001f, epsilon = 1e-7f;
	for (long i = 0; i < n; i++) {
		float h = g[i] * scale * clip;
		m[i] = m[i] + b1 * (h - m[i]);
		v[i] = v[i] + b2 * (h * h - v[i]);
		p[i] -= alpha * (m[i] / (sqrtf(v[i]) + epsilon));
	}
}

__attribute__((noinline)) static void exponential(float *restrict z, const float *restrict x, long n) {
	for (long i = 0; i < n; i++) z[i] = expf(x[i]);
}

static int call(const char *name, long n) {
	if (!strcmp(name, "add")) add(c, a, b, n);
	else if (!strcmp(name, "relu-backward")) relu_backward(c, a, b, n);
	else if (!strcmp(name, "adam")) adam(a, b, c, d, n);
	else if (!strcmp(name, "exp")) exponential(c, a, n);
	else return 0;
	return 1;
}

int main(int argc, char **argv) {
	clockid_t clock = argc > 1 && !strcmp(argv[1], "cpu") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	char name[64];
	long n, calls;
	while (scanf("%63s %ld %ld", name, &n, &calls) == 3) {
		a = numbers(n, -1), b = numbers(n, -1), c = numbers(n, 0), d = numbers(n, -1);
		struct timespec from, to;
		int known = call(name, n);
		clock_gettime(clock, &from);
		for (long i = 0; known && i < calls; i++) call(name, n);
		clock_gettime(clock, &to);
		printf("%lld\n", known ? (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec : -1);
		fflush(stdout);
		free(a), free(b), free(c), free(d);
	}
	return 0;
}
