/* What the guest does to its own memory and processor when it is told to. */
#ifndef LOAD_H
#define LOAD_H

/* From now on that many pages are written each second; 0 ends it. */
void dirty_set(long pages_per_second);
/* The rate, pages per second. */
long dirty_rate(void);
/* Writes the pages that are due since the last call; a debt of more than a second is forgiven. */
void dirty_some(void);
/* Writes that many pages, each once as long as they are no more than DIRTY_PAGES. */
void dirty_now(long pages);

/* Begins (1) or ends (0) a process that only computes; returns how many rounds all of them have done so far. */
unsigned long burn(int on);

/* Fills that many MiB more with bytes that no page has twice. Returns 0, or -1 when there is no such memory. */
int fill(long mib);

enum {
	PAGE_BYTES = 4096,
	DIRTY_PAGES = 8192, /* 32 MiB written round and round */
};

#endif
