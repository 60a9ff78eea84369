/*
 * Preloaded into tidegate: SIGKILL at one exact write to a journal, and not a moment earlier or later.
 *
 * TIDEGATE_KILL_AT=12:before   instead of the write with that number (0 is the first line)
 * TIDEGATE_KILL_AT=12:torn     after half of it
 * TIDEGATE_KILL_AT=12:after    as soon as it is flushed
 *
 * TIDEGATE_HALT=/a/file        makes that file and stops instead: what kills the whole machine kills this process, too
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long seen = 0;
static int armed = 0;

static void die(void) {
    const char *halt = getenv("TIDEGATE_HALT");
    if (halt) close(open(halt, O_CREAT | O_WRONLY, 0600));
    kill(getpid(), halt ? SIGSTOP : SIGKILL);
    for (;;) pause();
}

/* What a run said to people is beside its journal, in told.jsonl. */
static int is_journal(int fd) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/'), *end = strrchr(path, '.');
    return name && end && strcmp(end, ".jsonl") == 0 && strcmp(name, "/told.jsonl") != 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    const char *at = getenv("TIDEGATE_KILL_AT");
    if (at && is_journal(fd)) {
        char *how;
        long wanted = strtol(at, &how, 10);
        if (__atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST) == wanted) {
            if (strcmp(how, ":before") == 0) die();
            if (strcmp(how, ":torn") == 0) {
                syscall(SYS_write, fd, bytes, count / 2);
                die();
            }
            armed = 1;
        }
    }
    return syscall(SYS_write, fd, bytes, count);
}

static int flushed(int fd, int result) {
    if (armed && is_journal(fd)) die();
    return result;
}

int fsync(int fd) { return flushed(fd, syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { return flushed(fd, syscall(SYS_fdatasync, fd)); }
