/*
 * bulk: one connection that carries as much as it can, one way.
 * Prints one JSON object: bytes and seconds of the measured time. What is sent counts when the guest's TCP has taken it.
 * usage: bulk ADDRESS send|receive WARM-UP-MS MEASURED-MS
 */
#define _GNU_SOURCE
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { CHUNK_BYTES = 65536, SILENCE_MAX_MS = 30000 };

static char chunk[CHUNK_BYTES];

/* Moves one chunk; returns how much. */
static long move(int descriptor, int sending)
{
	struct pollfd waiting = { .fd = descriptor, .events = sending ? POLLOUT : POLLIN };
	ssize_t moved;

	if (poll(&waiting, 1, SILENCE_MAX_MS) == 0)
		give_up("the guest moves nothing");
	moved = sending ? send(descriptor, chunk, sizeof chunk, MSG_DONTWAIT | MSG_NOSIGNAL) :
			  recv(descriptor, chunk, sizeof chunk, MSG_DONTWAIT);
	if (moved < 0 && errno != EAGAIN && errno != EINTR)
		die("moving bytes");
	if (moved == 0)
		give_up("the guest closed the connection");
	return moved > 0 ? moved : 0;
}

/* What has been written and not been taken yet. */
static long unsent(int descriptor)
{
	int bytes = 0;

	if (ioctl(descriptor, SIOCOUTQ, &bytes))
		die("SIOCOUTQ");
	return bytes;
}

int main(int argc, char **argv)
{
	int sending, descriptor;
	long bytes = 0, before_bytes, begin_us, end_us;

	if (argc != 5 || (strcmp(argv[2], "send") && strcmp(argv[2], "receive"))) {
		fprintf(stderr, "usage: bulk ADDRESS send|receive WARM-UP-MS MEASURED-MS\n");
		return 2;
	}
	sending = !strcmp(argv[2], "send");
	descriptor = connection(argv[1], sending ? "9" : "19");
	begin_us = clock_us() + atol(argv[3]) * 1000;
	while (clock_us() < begin_us)
		bytes += move(descriptor, sending);
	begin_us = clock_us();
	before_bytes = bytes - (sending ? unsent(descriptor) : 0);
	end_us = begin_us + atol(argv[4]) * 1000;
	while (clock_us() < end_us)
		bytes += move(descriptor, sending);
	end_us = clock_us();
	bytes -= sending ? unsent(descriptor) : 0;
	printf("{\"bytes\":%ld,\"seconds\":%.6f}\n", bytes - before_bytes, (double)(end_us - begin_us) / 1e6);
	return 0;
}
