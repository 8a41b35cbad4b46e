/* A clock of a server's own: the system's, and so many microseconds more as the first eight bytes of a file say, which
 * may change at any time. Preloaded into the server. It needs nothing of the C library before that is up, allocates
 * nothing, and leaves nothing behind: libfaketime recurses for ever in a program whose allocator is jemalloc, as Redis's
 * is, and leaves shared memory behind when that is killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("LINCHPIN_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *told = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (told != MAP_FAILED) ahead = told;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (failed || !ahead || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    int64_t by = *ahead;
    now->tv_sec += by / 1000000;
    now->tv_nsec += by % 1000000 * 1000;
    if (now->tv_nsec < 0) now->tv_sec--, now->tv_nsec += 1000000000;
    if (now->tv_nsec >= 1000000000) now->tv_sec++, now->tv_nsec -= 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec told;
    int failed = clock_gettime(CLOCK_REALTIME, &told);
    if (!failed) now->tv_sec = told.tv_sec, now->tv_usec = told.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *into) {
    struct timespec told;
    if (clock_gettime(CLOCK_REALTIME, &told)) return -1;
    if (into) *into = told.tv_sec;
    return told.tv_sec;
}
