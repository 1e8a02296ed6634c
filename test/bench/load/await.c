/*
 * await: watches an interface for what a guest sends after it was told to (a line on standard input), and pings the guest
 * every millisecond meanwhile. Frames that QEMU sends in its name to announce it (RARP) do not count. Prints one JSON object
 * per line of input: when the guest's frames were there, up to its first answer to a ping, and when that was (monotonic
 * clock). The first ones may have waited to be released, or be repeated; that answer it has made by itself since.
 * usage: await INTERFACE MAC ADDRESS
 */
#define _GNU_SOURCE
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <unistd.h>

#include "clock.h"

enum { FRAME_MAX_BYTES = 65536, FRAMES_MAX = 256, SILENCE_MAX_US = 60000000, RARP = 0x8035, PING_EVERY_US = 1000 };

static unsigned char frame[FRAME_MAX_BYTES];

/* Asks the guest for a sign of life. That there is nobody yet to take it is no error. */
static void ping(int descriptor, const struct sockaddr_in *guest)
{
	static struct icmphdr request = { .type = ICMP_ECHO };
	const unsigned short *words = (const void *)&request;
	unsigned long sum = 0;

	request.checksum = 0;
	request.un.echo.sequence++;
	for (size_t i = 0; i < sizeof request / sizeof *words; i++)
		sum += words[i];
	request.checksum = (unsigned short)~(sum + (sum >> 16));
	(void)!sendto(descriptor, &request, sizeof request, MSG_DONTWAIT, (const void *)guest, sizeof *guest);
}

/* 1 if what has come is the guest's own, 2 if it is the answer to a ping. */
static int guests_own(int descriptor, const unsigned char *mac)
{
	ssize_t bytes = recv(descriptor, frame, sizeof frame, MSG_DONTWAIT);
	unsigned type = (unsigned)frame[12] << 8 | frame[13];
	const struct iphdr *ip = (const void *)(frame + ETH_HLEN);

	if (bytes < ETH_HLEN || memcmp(frame + ETH_ALEN, mac, ETH_ALEN) || type == RARP)
		return 0;
	return type == ETH_P_IP && bytes >= ETH_HLEN + (ssize_t)sizeof *ip && ip->protocol == IPPROTO_ICMP ? 2 : 1;
}

/* Until the guest has answered a ping. Whatever else comes, a ping leaves every millisecond. */
static void watch(int packets, int pings, const struct sockaddr_in *guest, const unsigned char *mac)
{
	struct pollfd waiting = { .fd = packets, .events = POLLIN };
	struct timespec patience = { 0 };
	long begin_us = clock_us(), pinged_us = 0, now_us;
	int kind = 0, frames = 0;

	printf("{\"frames_us\":[");
	while (kind != 2) {
		now_us = clock_us();
		if (now_us - begin_us > SILENCE_MAX_US)
			give_up("the guest answers nobody");
		if (now_us - pinged_us >= PING_EVERY_US) {
			ping(pings, guest);
			pinged_us = now_us;
		}
		patience.tv_nsec = (pinged_us + PING_EVERY_US - now_us) * 1000;
		if (ppoll(&waiting, 1, &patience, NULL) <= 0)
			continue;
		kind = guests_own(packets, mac);
		now_us = clock_us();
		if (kind && frames < FRAMES_MAX)
			printf("%s%ld", frames++ ? "," : "", now_us);
	}
	printf("],\"answered_at_us\":%ld}\n", now_us);
}

int main(int argc, char **argv)
{
	unsigned char mac[ETH_ALEN];
	struct sockaddr_ll place = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct sockaddr_in guest = { .sin_family = AF_INET };
	char told[16];
	int packets, pings;

	if (argc != 4 || inet_pton(AF_INET, argv[3], &guest.sin_addr) != 1 ||
	    sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) !=
		    ETH_ALEN) {
		fprintf(stderr, "usage: await INTERFACE MAC ADDRESS\n");
		return 2;
	}
	place.sll_ifindex = (int)if_nametoindex(argv[1]);
	packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	pings = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (!place.sll_ifindex || packets < 0 || pings < 0 || bind(packets, (struct sockaddr *)&place, sizeof place))
		die("watching the interface");
	while (read(STDIN_FILENO, told, sizeof told) > 0) {
		/* what is from before the word does not count */
		while (recv(packets, frame, sizeof frame, MSG_DONTWAIT) >= 0)
			;
		puts("{\"watching\":true}");
		fflush(stdout);
		watch(packets, pings, &guest, mac);
		fflush(stdout);
	}
	return 0;
}
