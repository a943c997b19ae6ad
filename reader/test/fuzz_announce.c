/* Feed sra-announce any environment and path: one datagram at most, never longer than srad takes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#define LONGEST 200

static unsigned sent;

static ssize_t fuzz_sendto(int fd, const void *text, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    (void)fd;
    (void)flags;
    if (length > LONGEST || strnlen(text, length) != length || to->sa_family != AF_UNIX || size == 0)
        abort();
    sent++;
    return (ssize_t)length;
}

static int announce_main(int count, char **arguments);

#define main announce_main
#define sendto fuzz_sendto
#include "../announce.c"
#undef main
#undef sendto

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"PAM_SERVICE", "PAM_USER", "PAM_TTY"};
    char name[] = "sra-announce";
    char *copy = malloc(size + 1);
    char *next = copy;
    char *arguments[3] = {name, copy, NULL};

    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        next += strlen(next);
        if (next < copy + size)
            (void)setenv(NAMES[i], ++next, 1);
        else
            (void)unsetenv(NAMES[i]);
    }
    sent = 0;
    if (announce_main(2, arguments) != 0 || sent > 1)
        abort();
    free(copy);
    return 0;
}
