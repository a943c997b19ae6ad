#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __APPLE__

static bool read_peer_user(int fd, uid_t *user)
{
    gid_t group;
    return getpeereid(fd, user, &group) == 0;
}

/* There is no SOCK_CLOEXEC and no MSG_NOSIGNAL here: both are properties that are set afterwards. */
static int open_socket(void)
{
    int on = 1;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
                    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

#else

static bool read_peer_user(int fd, uid_t *user)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer;
    if (known)
        *user = peer.uid;
    return known;
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

#endif

/* A user who can write in the folder can put a socket of their own there, so only its owner may: then the owner's word,
 * and root's, is as good as the folder. */
static const char *reason_to_refuse(int fd, const char *folder)
{
    struct stat status;
    uid_t user;
    const char *why = NULL;

    if (lstat(folder, &status) != 0 || !S_ISDIR(status.st_mode))
        why = "refused: the socket is not in a folder of its own";
    else if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        why = "refused: others than its owner may write in the socket's folder";
    else if (!read_peer_user(fd, &user))
        why = "refused: the user of the card process is unknown";
    else if (user != 0 && user != status.st_uid)
        why = "refused: the card process runs as another user than the owner of the socket's folder";
    return why;
}

static void close_keeping_errno(int fd, int reason)
{
    (void)close(fd);
    errno = reason;
}

int peer_connect(const char *path, const char *folder, const char **why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;

    *why = NULL;
    memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
    fd = open_socket();
    /* A UNIX socket connects at once or not at all, so this never waits, even if no process accepts. */
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close_keeping_errno(fd, errno);
        fd = -1;
    } else if (fd >= 0 && (*why = reason_to_refuse(fd, folder)) != NULL) {
        close_keeping_errno(fd, EACCES);
        fd = -1;
    }
    return fd;
}
