/*
 * Say whether the card may be asked for this login, and tell srad which program is about to ask it: PAM runs this
 * (pam_exec) before it asks the card.
 *
 *   sra-announce SOCKET                 only for logins at this machine
 *   sra-announce SOCKET from-network    also for logins from other machines
 *
 * A login from another machine (PAM_RHOST) ends with status 1 and tells srad nothing: anyone who reaches the service
 * could otherwise have the user with the card asked for the PIN. A machine's own name and addresses count as others,
 * since a proxy in front of a service lends its address to all its clients.
 *
 * What is sent is one datagram, "SERVICE from HOST for USER by CALLER (TTY)", of what pam_exec(8) puts into the
 * environment. It is sent without waiting; where srad does not listen, nothing happens, and the status is 0 all the same: a
 * login must not fail because srad was not told of it. A program of Python would take longer to start than the card needs
 * to sign.
 */

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Bytes of an announcement: MAX_REMARK of sra.remote.daemon.announcements. */
#define LIMIT 200

/* Bytes of each part, so that all of them fit, with the words between them. */
enum { SERVICE = 32, HOST = 64, USER = 40, CALLER = 32, TTY = 12 };

/* The last of this name: pam_exec puts its own behind what other modules have put into PAM's environment. */
static const char *value(const char *name)
{
    size_t length = strlen(name);
    const char *found = "";

    for (char **each = environ; *each != NULL; each++)
        if (strncmp(*each, name, length) == 0 && (*each)[length] == '=')
            found = *each + length + 1;
    return found;
}

/* Whether a login comes from here: PAM has no host for it, or a display of this machine (":0", ":0.0"). */
static bool is_here(const char *host)
{
    return *host == '\0' || (*host == ':' && host[1 + strspn(host + 1, "0123456789.")] == '\0');
}

/*
 * Append a value with the words around it, unless it is empty. Who logs in chooses some of them: what could look like
 * another part of the sentence (blanks, parentheses, control characters) becomes a question mark. Of a long one the end is
 * kept, since that is what tells hosts apart.
 */
static void append(char *text, const char *before, const char *said, size_t limit, const char *after)
{
    size_t length = strlen(said);
    const char *kept = length > limit ? said + length - limit : said;
    size_t at = strlen(text);

    if (length > 0) {
        at += (size_t)snprintf(text + at, LIMIT + 1 - at, "%s", before);
        for (; *kept != '\0' && at < LIMIT; kept++) {
            unsigned char byte = (unsigned char)*kept;
            bool plain = byte >= 0x80 || (isgraph(byte) && strchr("()\"'`<>", byte) == NULL);
            text[at++] = plain ? *kept : '?';
        }
        snprintf(text + at, LIMIT + 1 - at, "%s", after);
    }
}

static void announce(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[LIMIT + 1] = "";
    int sending = -1;

    append(text, "", value("PAM_SERVICE"), SERVICE, "");
    append(text, " from ", value("PAM_RHOST"), HOST, "");
    append(text, " for ", value("PAM_USER"), USER, "");
    append(text, " by ", value("PAM_RUSER"), CALLER, "");
    append(text, " (", value("PAM_TTY"), TTY, ")");
    if (strlen(path) < sizeof address.sun_path) {
        strcpy(address.sun_path, path);
        sending = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (sending >= 0) {
        (void)sendto(sending, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
                     sizeof address);
        close(sending);
    }
}

int main(int count, char **arguments)
{
    bool anywhere = count == 3 && strcmp(arguments[2], "from-network") == 0;
    bool allowed = anywhere || is_here(value("PAM_RHOST"));

    if (allowed && count >= 2)
        announce(arguments[1]);
    return allowed ? 0 : 1;
}
