/*
 * traffic: one connection to the guest's counter service, one request outstanding.
 * In C, because what it measures is near what a JavaScript timer is off by.
 *
 * Prints for each line that arrives, whether it was expected or not:
 *     SENT_US RTT_US LINE          SENT_US: wall clock at which the request in question was sent
 * and at last one of
 *     end                          standard input ended, and the last request was answered
 *     broken WHY                   the connection is gone
 * usage: traffic ADDRESS PORT INTERVAL_US
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 256, FLUSH_INTERVAL_US = 20000, LAST_ANSWER_TIMEOUT_US = 15000000 };

static long clock_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void broken(const char *why)
{
	printf("broken %s\n", why);
	exit(1);
}

static void flush_sometimes(void)
{
	static long last_us;
	long now = clock_us(CLOCK_MONOTONIC);
	if (now - last_us >= FLUSH_INTERVAL_US) {
		fflush(stdout);
		last_us = now;
	}
}

/* When standard input ended, on the monotonic clock; 0 while it has not. */
static long input_ended_us(void)
{
	static long ended_us;
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char ignored[64];

	if (!ended_us && poll(&input, 1, 0) == 1 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
		ended_us = clock_us(CLOCK_MONOTONIC);
	return ended_us;
}

/* The next line from the guest, without its end. */
static void line_read(int descriptor, char *line)
{
	static char buffer[4096];
	static size_t bytes;
	char *end;

	while (!(end = memchr(buffer, '\n', bytes))) {
		struct pollfd waiting = { .fd = descriptor, .events = POLLIN };
		ssize_t got;
		if (bytes >= LINE_BYTES_MAX)
			broken("the guest sent a line without an end");
		flush_sometimes();
		/* Wakes up to write out what is known: whoever watches wants to see a silence begin. */
		if (poll(&waiting, 1, FLUSH_INTERVAL_US / 1000) == 0) {
			if (input_ended_us() && clock_us(CLOCK_MONOTONIC) - input_ended_us() > LAST_ANSWER_TIMEOUT_US)
				broken("the guest did not answer the last request");
			continue;
		}
		got = read(descriptor, buffer + bytes, sizeof buffer - bytes);
		if (got == 0)
			broken("the guest closed the connection");
		if (got < 0)
			broken(strerror(errno));
		bytes += (size_t)got;
	}
	if (end - buffer >= LINE_BYTES_MAX)
		broken("the guest sent too long a line");
	memcpy(line, buffer, (size_t)(end - buffer));
	line[end - buffer] = 0;
	bytes -= (size_t)(end - buffer) + 1;
	memmove(buffer, end + 1, bytes);
}

int main(int argc, char **argv)
{
	struct sockaddr_in guest = { .sin_family = AF_INET };
	int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long interval_us;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &guest.sin_addr) != 1) {
		fprintf(stderr, "usage: traffic ADDRESS PORT INTERVAL_US\n");
		return 2;
	}
	guest.sin_port = htons((unsigned short)atoi(argv[2]));
	interval_us = atol(argv[3]);
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(descriptor, (struct sockaddr *)&guest, sizeof guest))
		broken(strerror(errno));
	for (unsigned long number = 1; !input_ended_us(); number++) {
		char request[32], line[LINE_BYTES_MAX];
		int request_bytes = snprintf(request, sizeof request, "%lu\n", number);
		long sent_us = clock_us(CLOCK_REALTIME), start_us = clock_us(CLOCK_MONOTONIC);

		if (write(descriptor, request, (size_t)request_bytes) != request_bytes)
			broken(strerror(errno));
		/* What does not begin with the request's own number is reported, and waited past. */
		do {
			line_read(descriptor, line);
			printf("%ld %ld %s\n", sent_us, clock_us(CLOCK_MONOTONIC) - start_us, line);
		} while (strtoul(line, NULL, 10) != number);
		flush_sometimes();
		if (interval_us)
			usleep((useconds_t)interval_us);
	}
	puts("end");
	return 0;
}
