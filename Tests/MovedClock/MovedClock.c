#define _GNU_SOURCE
#include "MovedClock.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The seconds of this process, in the table; NULL without one.
static const volatile int32_t *seconds;

__attribute__((constructor)) static void open_table(void) {
    const char *path = getenv("CELLWRIGHT_CLOCK_TABLE");
    if (path == NULL) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat status;
    size_t place = (size_t)getpid() * sizeof(int32_t);
    if (fstat(file, &status) == 0 && (size_t)status.st_size >= place + sizeof(int32_t)) {
        void *table = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (table != MAP_FAILED) seconds = (const volatile int32_t *)((const char *)table + place);
    }
    close(file);
}

static int32_t moved_by(void) { return seconds == NULL ? 0 : *seconds; }

static int real_clock(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, time);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = real_clock(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += moved_by();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    if (result == 0) *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return result;
}

time_t time(time_t *place) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (place != NULL) *place = now.tv_sec;
    return now.tv_sec;
}
