/*
 * Tell srad which program is about to ask the card for something: PAM runs this (pam_exec) before it asks the card.
 *
 *   sra-announce SOCKET       sends "SERVICE for USER (TTY)", of what pam_exec(8) puts into the environment
 *
 * One datagram, without waiting; where nobody listens, nothing happens. It always ends with success: a login must not
 * fail because nobody was told of it. A program of Python would take longer to start than the card needs to sign.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Bytes of an announcement: MAX_REMARK of sra.remote.daemon.announcements. */
#define LIMIT 200

static const char *value(const char *name)
{
    const char *found = getenv(name);
    return found != NULL ? found : "";
}

int main(int count, char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[LIMIT + 1];
    int sending = -1;

    if (count == 2 && strlen(arguments[1]) < sizeof address.sun_path) {
        const char *user = value("PAM_USER");
        const char *tty = value("PAM_TTY");
        strcpy(address.sun_path, arguments[1]);
        snprintf(text, sizeof text, "%.60s%s%.60s%s%.60s%s", value("PAM_SERVICE"), *user ? " for " : "", user,
                 *tty ? " (" : "", tty, *tty ? ")" : "");
        sending = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (sending >= 0) {
        (void)sendto(sending, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
                     sizeof address);
        close(sending);
    }
    return 0;
}
