/*
 * ask: connections that each have one question outstanding; the answer is as long as the question.
 * Prints one JSON object: answers and seconds of the measured time, and the quantiles of all its round trips.
 * usage: ask ADDRESS PORT CONNECTIONS WARM-UP-MS MEASURED-MS QUESTION
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"

enum { CONNECTIONS_MAX = 256, QUESTION_BYTES_MAX = 4096, ROUND_TRIPS_MAX = 1 << 22, SILENCE_MAX_MS = 30000 };

struct asker {
	long asked_us;
	size_t wanted_bytes;
};

static struct asker askers[CONNECTIONS_MAX];
static struct pollfd polled[CONNECTIONS_MAX];
static unsigned round_trips_us[ROUND_TRIPS_MAX];
static size_t round_trips;

static void ask(int number, const char *question, size_t bytes)
{
	askers[number] = (struct asker){ .asked_us = clock_us(), .wanted_bytes = bytes };
	if (write(polled[number].fd, question, bytes) != (ssize_t)bytes)
		die("asking");
}

/* Takes what has come; 1 when the answer is whole. */
static int answered(int number)
{
	char buffer[QUESTION_BYTES_MAX];
	ssize_t got = read(polled[number].fd, buffer, askers[number].wanted_bytes);

	if (got < 0)
		die("reading an answer");
	if (got == 0)
		give_up("the guest closed the connection");
	askers[number].wanted_bytes -= (size_t)got;
	return askers[number].wanted_bytes == 0;
}

static int by_size(const void *left, const void *right)
{
	unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;
	return (a > b) - (a < b);
}

static unsigned quantile(double share)
{
	size_t at = (size_t)(share * (double)round_trips);
	return round_trips_us[at < round_trips ? at : round_trips - 1];
}

int main(int argc, char **argv)
{
	static char question[QUESTION_BYTES_MAX];
	int connections;
	size_t bytes;
	long begin_us, end_us, now_us;

	if (argc != 7 || (connections = atoi(argv[3])) < 1 || connections > CONNECTIONS_MAX ||
	    (bytes = strlen(argv[6])) < 1 || bytes + 1 > sizeof question) {
		fprintf(stderr, "usage: ask ADDRESS PORT CONNECTIONS WARM-UP-MS MEASURED-MS QUESTION\n");
		return 2;
	}
	/* the one who has started it in its namespace does not outlive its owner, and neither do we */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memcpy(question, argv[6], bytes);
	question[bytes++] = '\n';
	for (int i = 0; i < connections; i++)
		polled[i] = (struct pollfd){ .fd = connection(argv[1], argv[2]), .events = POLLIN };
	begin_us = clock_us() + atol(argv[4]) * 1000;
	end_us = begin_us + atol(argv[5]) * 1000;
	for (int i = 0; i < connections; i++)
		ask(i, question, bytes);
	while ((now_us = clock_us()) < end_us) {
		int ready = poll(polled, (nfds_t)connections, SILENCE_MAX_MS);
		if (ready < 0 && errno != EINTR)
			die("poll");
		if (ready == 0)
			give_up("the guest does not answer");
		for (int i = 0; i < connections; i++) {
			if (!polled[i].revents || !answered(i))
				continue;
			now_us = clock_us();
			if (now_us >= begin_us && now_us < end_us && round_trips < ROUND_TRIPS_MAX)
				round_trips_us[round_trips++] = (unsigned)(now_us - askers[i].asked_us);
			ask(i, question, bytes);
		}
	}
	if (!round_trips)
		give_up("not one answer came in the measured time");
	qsort(round_trips_us, round_trips, sizeof *round_trips_us, by_size);
	printf("{\"answers\":%zu,\"seconds\":%.6f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n", round_trips,
	       (double)(end_us - begin_us) / 1e6, quantile(0.5), quantile(0.99), round_trips_us[round_trips - 1]);
	return 0;
}
