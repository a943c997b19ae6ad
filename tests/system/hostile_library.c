/* A library that leaves a note of every user as whom it was loaded, or could become one (tests/system/hostile_environment.py). */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void note(void)
{
    uid_t user[3] = {0, 0, 0};
    char name[64];

    getresuid(&user[0], &user[1], &user[2]);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "/tmp/hostile/ran/%u-library", (unsigned)user[i]);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
}
