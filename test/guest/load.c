#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { BURN_STEPS = 1 << 16 };

static unsigned char *dirty_area;
static unsigned long dirty_written;
static long rate;

static long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

static void *memory(size_t bytes, int how)
{
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return area == MAP_FAILED ? NULL : area;
}

static void area_make(void)
{
	if (dirty_area)
		return;
	dirty_area = memory((size_t)DIRTY_PAGES * PAGE_BYTES, MAP_PRIVATE);
	if (!dirty_area) {
		perror("mmap");
		exit(1);
	}
}

void dirty_set(long pages_per_second)
{
	rate = pages_per_second > 0 ? pages_per_second : 0;
	if (rate)
		area_make();
}

long dirty_rate(void)
{
	return rate;
}

void dirty_now(long pages)
{
	area_make();
	for (; pages > 0; pages--, dirty_written++)
		*(unsigned long *)(dirty_area + dirty_written % DIRTY_PAGES * PAGE_BYTES) = dirty_written;
}

void dirty_some(void)
{
	static long last_ms, owed_thousandths;
	long now = now_ms(), elapsed_ms = now - last_ms;

	if (elapsed_ms > 1000)
		elapsed_ms = 1000;
	last_ms = now;
	owed_thousandths += rate * elapsed_ms;
	dirty_now(owed_thousandths / 1000);
	owed_thousandths %= 1000;
}

unsigned long burn(int on)
{
	static volatile unsigned long *rounds;
	static pid_t burner;

	if (!rounds)
		rounds = memory(PAGE_BYTES, MAP_SHARED);
	if (!rounds)
		return 0;
	if (on && burner <= 0) {
		/* a process of its own: the service answers meanwhile */
		burner = fork();
		if (burner == 0) {
			uint64_t x = 88172645463325252;
			for (;;) {
				for (int i = 0; i < BURN_STEPS; i++) {
					x ^= x << 13;
					x ^= x >> 7;
					x ^= x << 17;
				}
				/* x is never 0, and no compiler can tell */
				*rounds += x != 0;
			}
		}
	} else if (!on && burner > 0) {
		kill(burner, SIGKILL);
		waitpid(burner, NULL, 0);
		burner = 0;
	}
	return *rounds;
}

int fill(long mib)
{
	static uint64_t x = 88172645463325252;
	uint64_t *area = memory((size_t)mib << 20, MAP_PRIVATE);

	if (!area)
		return -1;
	for (size_t i = 0; i < ((size_t)mib << 20) / sizeof *area; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		area[i] = x;
	}
	return 0;
}
