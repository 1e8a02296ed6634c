/* Time and sockets, as all load generators want them. */
#ifndef CLOCK_H
#define CLOCK_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static inline long clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void give_up(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(1);
}

/* A connection that sends at once. */
static inline int connection(const char *address, const char *port)
{
	struct sockaddr_in guest = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
	int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		die("socket");
	if (inet_pton(AF_INET, address, &guest.sin_addr) != 1)
		give_up("that is no IPv4 address");
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(descriptor, (struct sockaddr *)&guest, sizeof guest))
		die("connect");
	return descriptor;
}

#endif
