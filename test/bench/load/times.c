/*
 * times: runs a command again and again, as Pacemaker's executor does: without a shell, and with its output thrown away.
 * Prints for each run one JSON object: its time, the processors' time of it and of all that it waited for, its exit code.
 * usage: times COUNT COMMAND [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

extern char **environ;

static long us(struct timeval time)
{
	return time.tv_sec * 1000000L + time.tv_usec;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t quiet;

	if (argc < 3) {
		fprintf(stderr, "usage: times COUNT COMMAND [ARGUMENT...]\n");
		return 2;
	}
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	for (long run = 0; run < atol(argv[1]); run++) {
		struct rusage usage;
		long start = clock_us();
		int status;
		pid_t child;

		errno = posix_spawnp(&child, argv[2], &quiet, NULL, argv + 2, environ);
		if (errno)
			die(argv[2]);
		if (wait4(child, &status, 0, &usage) < 0)
			die("waiting for it");
		printf("{\"wall_us\":%ld,\"cpu_us\":%ld,\"code\":%d}\n", clock_us() - start,
		       us(usage.ru_utime) + us(usage.ru_stime),
		       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	return 0;
}
