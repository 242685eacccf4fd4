// peak speaks the protocol of sgemm.c, but instead of a product it carries out as many fused multiply-adds as the product
// has, in registers and independent of each other: the time that no product can beat. Its only argument is the clock.
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef __AVX512F__
typedef float vector __attribute__((vector_size(64)));
#else
typedef float vector __attribute__((vector_size(32)));
#endif

enum { CHAINS = 12 }; // more than latency times throughput of any CPU, fewer than its registers

static float turn(long steps) {
	vector x[CHAINS], a = {0}, b = {0};
	a += 0.999f;
	b += 0.001f;
	for (int i = 0; i < CHAINS; i++)
		x[i] = a + (float)i;
	for (long s = 0; s < steps; s++)
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			x[i] = x[i] * a + b;
	float sum = 0;
	for (int i = 0; i < CHAINS; i++)
		sum += x[i][0];
	return sum;
}

int main(int argc, char **argv) {
	clockid_t clock = argc > 1 && !strcmp(argv[1], "cpu") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	int transA, transB, m, n, k, calls, sets;
	volatile float keep = 0;
	while (scanf("%d %d %d %d %d %d %d", &transA, &transB, &m, &n, &k, &calls, &sets) == 7) {
		struct timespec from, to;
		long steps = (double)m * n * k * calls / (CHAINS * sizeof(vector) / sizeof(float));
		keep += turn(steps / 4);
		clock_gettime(clock, &from);
		keep += turn(steps);
		clock_gettime(clock, &to);
		printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
		fflush(stdout);
	}
	return 0;
}
