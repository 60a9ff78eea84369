/*
 * Preloaded into tidegate: from one exact write to a journal on, the disk of the state directory is full.
 *
 * TIDEGATE_FULL_DIR=/path        the state directory
 * TIDEGATE_FULL_AT=12:reserved   from the write with that number on (0 is the first line): no file, no folder and no
 *                                write has room there, but for journals, whose room is reserved when a run begins
 * TIDEGATE_FULL_AT=12:nothing    as on a file system that cannot reserve: journals have no room either
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long seen = 0;

/* What lies below the state directory, or nothing. */
static const char *below(const char *path) {
    const char *dir = getenv("TIDEGATE_FULL_DIR");
    size_t length = dir ? strlen(dir) : 0;
    if (!length || strncmp(path, dir, length) != 0 || (path[length] != '/' && path[length] != 0)) return NULL;
    return path + length;
}

/* runs/<run>.jsonl, and not what a run keeps in a folder beside it */
static int is_journal(const char *rest) {
    size_t length = strlen(rest);
    return strncmp(rest, "/runs/", 6) == 0 && !strchr(rest + 6, '/') && length > 6 &&
           strcmp(rest + length - 6, ".jsonl") == 0;
}

static int is_full(void) {
    const char *at = getenv("TIDEGATE_FULL_AT");
    return at && __atomic_load_n(&seen, __ATOMIC_SEQ_CST) >= strtol(at, NULL, 10);
}

static int has_reserve(void) { return strstr(getenv("TIDEGATE_FULL_AT"), ":reserved") != NULL; }

static int no_room(void) {
    errno = ENOSPC;
    return -1;
}

static const char *file_of(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return below(path);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[PATH_MAX];
    const char *rest = file_of(fd, path);
    if (rest) {
        int full = is_full(), journal = is_journal(rest);
        if (journal) __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
        if (full && !(journal && has_reserve())) return no_room();
    }
    return syscall(SYS_write, fd, bytes, count);
}

int mkdir(const char *path, mode_t mode) {
    struct stat there;
    if (below(path) && is_full() && stat(path, &there) != 0) return no_room();
    return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static int opened(const char *path, int flags, mode_t mode) {
    struct stat there;
    if ((flags & O_CREAT) && below(path) && is_full() && stat(path, &there) != 0) return no_room();
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened(path, flags | O_LARGEFILE, mode);
}

static int allocated(int fd, int mode, off_t from, off_t length) {
    char path[PATH_MAX];
    if (file_of(fd, path) && is_full()) {
        no_room();
        return -1;
    }
    return syscall(SYS_fallocate, fd, mode, from, length);
}

int fallocate(int fd, int mode, off_t from, off_t length) { return allocated(fd, mode, from, length); }
int fallocate64(int fd, int mode, off64_t from, off64_t length) { return allocated(fd, mode, from, length); }
