#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "traffic.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE is set on the socket */
#endif

int64_t traffic_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool traffic_wait(int fd, short events, int64_t until)
{
    struct pollfd wanted = {.fd = fd, .events = events};
    int64_t rest = until - traffic_now();
    /* An error or a hang-up counts as ready: the next call on the socket says which. */
    return rest > 0 && (poll(&wanted, 1, (int)rest) > 0 || traffic_now() < until);
}

/* EWOULDBLOCK is the same number wherever this is built. */
static bool is_passing(int reason)
{
    return reason == EAGAIN || reason == EINTR;
}

bool traffic_is_quiet(int fd)
{
    unsigned char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && is_passing(errno);
}

enum frame_progress traffic_receive_available(int fd, struct frame *frame)
{
    enum frame_progress progress = FRAME_PARTIAL;
    bool more = true;
    while (more && progress == FRAME_PARTIAL) {
        size_t wanted;
        unsigned char *space = frame_space(frame, &wanted);
        ssize_t size = recv(fd, space, wanted, MSG_DONTWAIT);
        if (size > 0)
            progress = frame_filled(frame, (size_t)size);
        else if (size == 0 || !is_passing(errno))
            progress = FRAME_INVALID; /* closed in the middle of a frame, or in the place of one */
        else
            more = errno == EINTR;
    }
    return progress;
}

enum traffic_result traffic_receive(int fd, struct frame *frame, int64_t until)
{
    enum frame_progress progress;
    enum traffic_result result = TRAFFIC_BROKEN;

    while ((progress = traffic_receive_available(fd, frame)) == FRAME_PARTIAL && traffic_wait(fd, POLLIN, until))
        continue;
    if (progress == FRAME_COMPLETE)
        result = TRAFFIC_OK;
    else if (progress == FRAME_PARTIAL)
        result = TRAFFIC_TIMED_OUT;
    return result;
}

enum traffic_result traffic_send(int fd, enum frame_kind kind, const unsigned char *body, size_t length, int64_t until)
{
    unsigned char header[FRAME_HEADER_SIZE];
    size_t sent = 0;
    enum traffic_result result = TRAFFIC_OK;

    frame_make_header(header, kind, length);
    while (result == TRAFFIC_OK && sent < FRAME_HEADER_SIZE + length) {
        size_t header_at = sent < FRAME_HEADER_SIZE ? sent : FRAME_HEADER_SIZE;
        size_t body_at = sent - header_at;
        /* In one call, so that the card process wakes up once. sendmsg() has no const, but it doesn't write. */
        struct iovec parts[2] = {
            {.iov_base = header + header_at, .iov_len = FRAME_HEADER_SIZE - header_at},
            {.iov_base = (void *)((uintptr_t)body + body_at), .iov_len = length - body_at},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t size = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0)
            sent += (size_t)size;
        else if (!is_passing(errno))
            result = TRAFFIC_BROKEN;
        else if (!traffic_wait(fd, POLLOUT, until))
            result = TRAFFIC_TIMED_OUT;
    }
    return result;
}
