/*
 * await: watches an interface for the first frame that a guest sends after it was told to (a line on standard input).
 * Frames that QEMU sends in its name to announce it (RARP) do not count. Prints one JSON object per line of input:
 * when the frame was there (monotonic clock).
 * usage: await INTERFACE MAC
 */
#define _GNU_SOURCE
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>

#include "clock.h"

enum { FRAME_MAX_BYTES = 65536, SILENCE_MAX_MS = 60000, RARP = 0x8035 };

static unsigned char frame[FRAME_MAX_BYTES];

/* 1 if what has come is the guest's own. */
static int guests_own(int descriptor, int flags, const unsigned char *mac)
{
	ssize_t bytes = recv(descriptor, frame, sizeof frame, flags);
	unsigned type = (unsigned)frame[12] << 8 | frame[13];

	return bytes >= ETH_HLEN && !memcmp(frame + ETH_ALEN, mac, ETH_ALEN) && type != RARP;
}

int main(int argc, char **argv)
{
	unsigned char mac[ETH_ALEN];
	struct sockaddr_ll place = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	char told[16];
	int descriptor;

	if (argc != 3 || sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
				&mac[5]) != ETH_ALEN) {
		fprintf(stderr, "usage: await INTERFACE MAC\n");
		return 2;
	}
	place.sll_ifindex = (int)if_nametoindex(argv[1]);
	descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (!place.sll_ifindex || descriptor < 0 || bind(descriptor, (struct sockaddr *)&place, sizeof place))
		die("watching the interface");
	while (read(STDIN_FILENO, told, sizeof told) > 0) {
		struct pollfd waiting = { .fd = descriptor, .events = POLLIN };
		/* what is from before the word does not count */
		while (recv(descriptor, frame, sizeof frame, MSG_DONTWAIT) >= 0)
			;
		puts("{\"watching\":true}");
		fflush(stdout);
		do {
			if (poll(&waiting, 1, SILENCE_MAX_MS) == 0)
				give_up("the guest sends nothing");
		} while (!guests_own(descriptor, MSG_DONTWAIT, mac));
		printf("{\"at_us\":%ld}\n", clock_us());
		fflush(stdout);
	}
	return 0;
}
