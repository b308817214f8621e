/* Makes a disk slow: every sync takes as long as the file that SLOW_DISK names says, in milliseconds. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_disk(void) {
    const char *path = getenv("SLOW_DISK");
    FILE *file = path ? fopen(path, "r") : NULL;
    long milliseconds = 0;
    if (!file) return;
    if (fscanf(file, "%ld", &milliseconds) == 1) {
        struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    fclose(file);
}

static int (*real(const char *name))(int) {
    return (int (*)(int))dlsym(RTLD_NEXT, name);
}

int fsync(int fd) {
    wait_for_disk();
    return real("fsync")(fd);
}

int fdatasync(int fd) {
    wait_for_disk();
    return real("fdatasync")(fd);
}
