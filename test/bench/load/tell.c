/*
 * tell: one connection to the guest's service, on which lines are said one after the other.
 * Prints for each line one JSON object: when its answer was there (monotonic clock), and the number that it ends with.
 * usage: tell ADDRESS LINE|sleep:MS...
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "clock.h"

enum { ANSWER_BYTES_MAX = 256 };

static void line_read(int descriptor, char *line)
{
	size_t bytes = 0;

	for (;;) {
		ssize_t got = read(descriptor, line + bytes, 1);
		if (got < 0)
			die("reading an answer");
		if (got == 0 || bytes + 1 >= ANSWER_BYTES_MAX)
			give_up("the guest closed the connection, or never ends its line");
		if (line[bytes] == '\n')
			break;
		bytes++;
	}
	line[bytes] = 0;
}

int main(int argc, char **argv)
{
	int descriptor;

	if (argc < 3) {
		fprintf(stderr, "usage: tell ADDRESS LINE|sleep:MS...\n");
		return 2;
	}
	descriptor = connection(argv[1], "7000");
	for (int i = 2; i < argc; i++) {
		char line[ANSWER_BYTES_MAX], *number;
		if (!strncmp(argv[i], "sleep:", 6)) {
			usleep((useconds_t)atol(argv[i] + 6) * 1000);
			continue;
		}
		if (dprintf(descriptor, "%s\n", argv[i]) < 0)
			die("telling");
		line_read(descriptor, line);
		number = strrchr(line, ' ');
		printf("{\"at_us\":%ld,\"number\":%ld}\n", clock_us(), number ? atol(number) : -1L);
	}
	return 0;
}
