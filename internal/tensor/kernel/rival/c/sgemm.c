// sgemm times the single-precision matrix product of a BLAS library. It takes the library, the symbol and its calling
// convention (cblas32, cblas64 or fortran), and the clock (wall or cpu), then reads lines "transA transB m n k calls sets" and answers each with the
// nanoseconds that so many calls took. Row-major operands without gaps, so many sets of them in turn; beta is 0.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void cblas32(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void cblas64(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                     float, float *, int64_t);
typedef void fortran(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                     const int *, const float *, const int *, const float *, float *, const int *);

static float *matrix(long n) {
	float *p = aligned_alloc(4096, (n * sizeof(float) + 4095) / 4096 * 4096);
	uint32_t seed = 1;
	for (long i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (float)((int32_t)seed >> 8) / (1 << 23);
	}
	return p;
}

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: sgemm LIBRARY SYMBOL cblas32|cblas64|fortran wall|cpu\n");
		return 2;
	}
	void *library = dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL);
	void *symbol = library ? dlsym(library, argv[2]) : NULL;
	if (!symbol) {
		fprintf(stderr, "sgemm: %s\n", dlerror());
		return 1;
	}
	clockid_t clock = strcmp(argv[4], "cpu") ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	int transA, transB, m, n, k, calls, sets;
	while (scanf("%d %d %d %d %d %d %d", &transA, &transB, &m, &n, &k, &calls, &sets) == 7) {
		long sizeA = (long)m * k, sizeB = (long)k * n, sizeC = (long)m * n;
		float *firstA = matrix(sets * sizeA), *firstB = matrix(sets * sizeB), *firstC = matrix(sets * sizeC);
		int lda = transA ? m : k, ldb = transB ? k : n;
		int ta = transA ? TRANS : NO_TRANS, tb = transB ? TRANS : NO_TRANS;
		const char *fa = transA ? "T" : "N", *fb = transB ? "T" : "N";
		const float one = 1, zero = 0;
		struct timespec from, to;
		for (int round = 0; round < 2; round++) { // the first warms up
			clock_gettime(clock, &from);
			for (int i = 0; i < (round ? calls : calls / 4 + sets); i++) {
				float *a = firstA + i % sets * sizeA, *b = firstB + i % sets * sizeB, *c = firstC + i % sets * sizeC;
				if (!strcmp(argv[3], "cblas32"))
					((cblas32 *)symbol)(ROW_MAJOR, ta, tb, m, n, k, 1, a, lda, b, ldb, 0, c, n);
				else if (!strcmp(argv[3], "cblas64"))
					((cblas64 *)symbol)(ROW_MAJOR, ta, tb, m, n, k, 1, a, lda, b, ldb, 0, c, n);
				else // column-major: the transposed product
					((fortran *)symbol)(fb, fa, &n, &m, &k, &one, b, &ldb, a, &lda, &zero, c, &n);
			}
			clock_gettime(clock, &to);
		}
		printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
		fflush(stdout);
		free(firstA);
		free(firstB);
		free(firstC);
	}
	return 0;
}
