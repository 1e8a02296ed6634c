/*
 * counter: the service inside the guest of the tests and the demo.
 *
 * Its one global counter lives in guest memory only, so a client that sees it repeat or go back has seen a guest that
 * was resumed from the wrong moment. One process and one poll loop: the fewer pages an idle guest dirties, the closer
 * a checkpoint's cost is to Kemari's own.
 *
 * port 7     echo, byte for byte
 * port 9     takes bytes and drops them
 * port 19    sends bytes for as long as they are taken
 * port 7000  lines:  "N"          -> "N C", C the next value of the counter, one counter for all connections
 *                    "dirty R"    -> "dirty R", from now on R pages are dirtied each second
 *                    "pages N"    -> "pages N", N pages have been written
 *                    "burn 1" | "burn 0"  -> "burn R", one process begins or ends to compute; R rounds so far
 *                    "fill M"     -> "fill M", M MiB more are full of random bytes; "fill -1" if there are none
 *                    "entropy"    -> "entropy BYTES", in hexadecimal, of the device that gives random numbers; "entropy -" if there is none
 *                    "screen N"   -> "screen N", N lines have been written on the display
 *                    "reboot" | "poweroff"  -> reboot(2); no answer
 *
 * The power button says "POWER BUTTON" on the console and powers off.
 *
 * usage: counter [dirty-pages-per-second]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum {
	PORT_ECHO = 7,
	PORT_DISCARD = 9,
	PORT_SOURCE = 19,
	PORT_COUNTER = 7000,
	CONNECTIONS_MAX = 96,
	LISTENERS = 4,
	BUTTONS = 4,
	BUFFER_BYTES = 16384,
	LINE_BYTES_MAX = 64,
	DIRTY_TICK_MS = 10,
};

struct connection {
	int descriptor;
	int port;
	size_t in_bytes, out_bytes;
	char in[BUFFER_BYTES], out[BUFFER_BYTES];
};

static struct connection connections[CONNECTIONS_MAX];
/* listeners, buttons, connections */
static struct pollfd polled[LISTENERS + BUTTONS + CONNECTIONS_MAX];
static unsigned long counter;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listener(int port)
{
	int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (descriptor < 0)
		die("socket");
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(descriptor, (struct sockaddr *)&address, sizeof address) || listen(descriptor, CONNECTIONS_MAX))
		die("listen");
	return descriptor;
}

/*
 * Takes the network down and leaves, as every distribution does. At device_shutdown() Linux breaks the queues of virtio
 * devices (virtio_dev_shutdown(), in 6.1 too since its backport), and a packet that is sent after that, a timer's MLD
 * report for one, makes virtio_net wait for ever for a buffer that a broken queue does not give back.
 */
static void leave(int how)
{
	struct ifreq request = { .ifr_name = "eth0" };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* no flags: not up */
	if (descriptor < 0 || ioctl(descriptor, SIOCSIFFLAGS, &request))
		perror("taking the network down");
	reboot(how);
}

/* An input device that may be the power button; -1 if there is none of this number. */
static int button(int number)
{
	char path[32];

	snprintf(path, sizeof path, "/dev/input/event%d", number);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void button_read(int descriptor)
{
	struct input_event event;

	while (read(descriptor, &event, sizeof event) == sizeof event) {
		if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1)
			continue;
		puts("POWER BUTTON");
		fflush(stdout);
		leave(RB_POWER_OFF);
	}
}

/* Random bytes as the device gives them, waiting for them; -1 if there is none. */
static int entropy(unsigned long *into)
{
	int descriptor = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = -1;

	if (descriptor >= 0) {
		bytes = read(descriptor, into, sizeof *into);
		close(descriptor);
	}
	return bytes == sizeof *into ? 0 : -1;
}

/* Writes lines that differ on the display; -1 if there is none. */
static long screen(long lines)
{
	FILE *display = fopen("/dev/tty1", "w");

	if (!display)
		return -1;
	for (long i = 0; i < lines; i++)
		fprintf(display, "%ld: %lx\r\n", i, (unsigned long)(i + 1) * 0x9e3779b97f4a7c15);
	return fclose(display) ? -1 : lines;
}

static void line_answer(struct connection *c, const char *line)
{
	unsigned long random;
	char *room = c->out + c->out_bytes;
	size_t room_bytes = sizeof c->out - c->out_bytes;

	if (!strcmp(line, "reboot"))
		leave(RB_AUTOBOOT);
	else if (!strcmp(line, "poweroff"))
		leave(RB_POWER_OFF);
	else if (!strncmp(line, "dirty ", 6)) {
		dirty_set(atol(line + 6));
		c->out_bytes += (size_t)snprintf(room, room_bytes, "dirty %ld\n", dirty_rate());
	} else if (!strncmp(line, "pages ", 6)) {
		dirty_now(atol(line + 6));
		c->out_bytes += (size_t)snprintf(room, room_bytes, "%s\n", line);
	} else if (!strncmp(line, "screen ", 7)) {
		c->out_bytes += (size_t)snprintf(room, room_bytes, "screen %ld\n", screen(atol(line + 7)));
	} else if (!strcmp(line, "entropy")) {
		c->out_bytes += (size_t)(entropy(&random) ? snprintf(room, room_bytes, "entropy -\n") :
							    snprintf(room, room_bytes, "entropy %016lx\n", random));
	} else if (!strncmp(line, "burn ", 5))
		c->out_bytes += (size_t)snprintf(room, room_bytes, "burn %lu\n", burn(atoi(line + 5)));
	else if (!strncmp(line, "fill ", 5))
		c->out_bytes += (size_t)snprintf(room, room_bytes, "fill %ld\n",
						 fill(atol(line + 5)) ? -1L : atol(line + 5));
	else
		c->out_bytes += (size_t)snprintf(room, room_bytes, "%s %lu\n", line, ++counter);
}

/* Answers every whole line for which there is room; a line that is too long ends the connection (-1). */
static int lines_answer(struct connection *c)
{
	size_t used = 0;

	while (c->out_bytes + 2 * LINE_BYTES_MAX < sizeof c->out) {
		char *start = c->in + used, *end = memchr(start, '\n', c->in_bytes - used);
		if (!end) {
			if (c->in_bytes - used > LINE_BYTES_MAX)
				return -1;
			break;
		}
		if (end - start > LINE_BYTES_MAX)
			return -1;
		*end = 0;
		line_answer(c, start);
		used = (size_t)(end - c->in) + 1;
	}
	c->in_bytes -= used;
	memmove(c->in, c->in + used, c->in_bytes);
	return 0;
}

static void echo_answer(struct connection *c)
{
	size_t bytes = sizeof c->out - c->out_bytes;

	if (bytes > c->in_bytes)
		bytes = c->in_bytes;
	memcpy(c->out + c->out_bytes, c->in, bytes);
	c->out_bytes += bytes;
	c->in_bytes -= bytes;
	memmove(c->in, c->in + bytes, c->in_bytes);
}

static int answer(struct connection *c)
{
	switch (c->port) {
	case PORT_COUNTER:
		return lines_answer(c);
	case PORT_DISCARD:
		c->in_bytes = 0;
		return 0;
	case PORT_SOURCE:
		/* the same bytes again and again: what is in them costs nothing */
		c->in_bytes = 0;
		c->out_bytes = sizeof c->out;
		return 0;
	default:
		echo_answer(c);
		return 0;
	}
}

/* One turn of a connection: read, answer, write. -1 when it is over. */
static int serve(struct connection *c)
{
	size_t room_bytes = sizeof c->in - c->in_bytes;
	ssize_t bytes;

	if (room_bytes) {
		bytes = read(c->descriptor, c->in + c->in_bytes, room_bytes);
		if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
			return -1;
		if (bytes > 0)
			c->in_bytes += (size_t)bytes;
	}
	if (answer(c))
		return -1;
	if (c->out_bytes) {
		bytes = write(c->descriptor, c->out, c->out_bytes);
		if (bytes < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (bytes > 0) {
			c->out_bytes -= (size_t)bytes;
			memmove(c->out, c->out + bytes, c->out_bytes);
		}
	}
	/* with the input full and the output empty, poll would wait for nothing */
	return answer(c);
}

static void accept_one(int listening, int port)
{
	int one = 1, descriptor = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (descriptor < 0)
		return;
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];
		if (c->descriptor >= 0)
			continue;
		setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		c->descriptor = descriptor;
		c->port = port;
		c->in_bytes = c->out_bytes = 0;
		return;
	}
	close(descriptor);
}

int main(int argc, char **argv)
{
	const int ports[LISTENERS] = { PORT_ECHO, PORT_DISCARD, PORT_SOURCE, PORT_COUNTER };

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		connections[i].descriptor = -1;
	for (int i = 0; i < LISTENERS; i++)
		polled[i] = (struct pollfd){ .fd = listener(ports[i]), .events = POLLIN };
	for (int i = 0; i < BUTTONS; i++)
		polled[LISTENERS + i] = (struct pollfd){ .fd = button(i), .events = POLLIN };
	dirty_set(argc > 1 ? atol(argv[1]) : 0);
	puts("READY");
	fflush(stdout);
	for (;;) {
		struct pollfd *waiting = polled + LISTENERS + BUTTONS;

		for (int i = 0; i < CONNECTIONS_MAX; i++) {
			struct connection *c = &connections[i];
			/* poll ignores negative descriptors */
			waiting[i] = (struct pollfd){
				.fd = c->descriptor,
				.events = (short)((c->in_bytes < sizeof c->in ? POLLIN : 0) |
						  (c->out_bytes || c->port == PORT_SOURCE ? POLLOUT : 0)),
			};
		}
		if (poll(polled, LISTENERS + BUTTONS + CONNECTIONS_MAX, dirty_rate() ? DIRTY_TICK_MS : -1) < 0 && errno != EINTR)
			die("poll");
		if (dirty_rate())
			dirty_some();
		for (int i = 0; i < LISTENERS; i++)
			if (polled[i].revents)
				accept_one(polled[i].fd, ports[i]);
		for (int i = LISTENERS; i < LISTENERS + BUTTONS; i++)
			if (polled[i].revents)
				button_read(polled[i].fd);
		for (int i = 0; i < CONNECTIONS_MAX; i++) {
			struct connection *c = &connections[i];
			/* a descriptor accepted in this turn was not polled yet */
			if (c->descriptor < 0 || waiting[i].fd != c->descriptor || !waiting[i].revents)
				continue;
			if (serve(c)) {
				close(c->descriptor);
				c->descriptor = -1;
			}
		}
	}
}
