/*
 * Runs PROGRAM where no memory may be writable and executable, as systemd's MemoryDenyWriteExecute does (Linux 6.3 and
 * newer): the ban is inherited by all that the program starts.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

int main(int count, char **words) {
    (void)count;
    if (prctl(PR_SET_MDWE, 1UL, 0UL, 0UL, 0UL) != 0) {
        perror("this kernel knows no PR_SET_MDWE");
        return 1;
    }
    execv(PROGRAM, words);
    perror(PROGRAM);
    return 1;
}
