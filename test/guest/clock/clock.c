/*
 * clock: watches the clocks inside the guest of the tests.
 *
 * It reads CLOCK_MONOTONIC, CLOCK_REALTIME and the TSC in a loop without a pause, so that a step back of a microsecond
 * does not escape it, and remembers the largest step back of each.
 *
 * UDP port 7001: a number -> "NUMBER MONOTONIC REALTIME TSC STEPS-BACK LARGEST CLOCKSOURCE": the same number, nanoseconds,
 * nanoseconds, ticks, how many steps back there were of any of the three, the largest (nanoseconds or ticks), and by which
 * hardware the kernel tells the time.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <x86intrin.h>

enum {
	PORT = 7001,
	CLOCKS = 3,
	READINGS_PER_LOOK = 1000,
};

static unsigned long long last[CLOCKS], steps_back, largest;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned long long nanoseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static void look(void)
{
	/* the fence keeps the processor from reading the TSC before what comes first in the program */
	const unsigned long long now[CLOCKS] = { nanoseconds(CLOCK_MONOTONIC), nanoseconds(CLOCK_REALTIME),
						 (_mm_lfence(), __rdtsc()) };

	for (int i = 0; i < CLOCKS; i++) {
		if (now[i] < last[i]) {
			steps_back++;
			if (last[i] - now[i] > largest)
				largest = last[i] - now[i];
		}
		last[i] = now[i];
	}
}

static void clocksource(char *name, int bytes)
{
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

	if (!file || !fgets(name, bytes, file))
		strcpy(name, "unknown");
	name[strcspn(name, "\n")] = 0;
	if (file)
		fclose(file);
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&address, sizeof address))
		die("clock");
	for (;;) {
		char number[24] = "", text[192], name[32];
		socklen_t bytes = sizeof address;

		for (int i = 0; i < READINGS_PER_LOOK; i++)
			look();
		if (recvfrom(descriptor, number, sizeof number - 1, 0, (struct sockaddr *)&address, &bytes) < 0)
			continue;
		clocksource(name, sizeof name);
		look();
		snprintf(text, sizeof text, "%s %llu %llu %llu %llu %llu %s", number, last[0], last[1], last[2], steps_back,
			 largest, name);
		sendto(descriptor, text, strlen(text), 0, (struct sockaddr *)&address, bytes);
	}
}
