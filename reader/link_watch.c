/* Presence: the side that watches. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "link_inside.h"

#include "link_time.h"
#include "log.h"
#include "peer.h"
#include "traffic.h"

#include <errno.h>
#include <poll.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

/* Where nothing is, a watched folder tells when that changes; one that can't be watched is looked at in every turn. */
static int64_t pause_after_failure(const struct link *link, int reason)
{
    int64_t pause = RETRY_MS;
    if (reason == ENOENT)
        pause = link->watch.folder >= 0 ? RETRY_UNASKED_MS : 0;
    return pause;
}

static void try_to_connect(struct link *link)
{
    int64_t now = traffic_now();
    const char *why;

    if (watch_folder(&link->watch, link->folder))
        link->renewed = true;
    if (link->renewed || now >= link->retry_at) {
        link->renewed = false;
        link->fd = peer_connect(link->path, link->folder, &why);
        if (link->fd >= 0) {
            link->state = LINK_GREETING;
            link->greeting_until = now + GREETING_LIMIT_MS;
        } else {
            link->retry_at = now + pause_after_failure(link, errno);
            link_complain(link, why);
        }
    }
}

static void take_greeting(struct link *link)
{
    enum frame_progress progress = traffic_receive_available(link->fd, &link->incoming);
    if (progress == FRAME_COMPLETE && frame_read_greeting(&link->incoming, &link->card)) {
        link->state = LINK_PRESENT;
        link->changes++;
        link->last_why = NULL;
        frame_clear(&link->incoming);
        log_info("%s: a card is in", link->path);
    } else if (progress != FRAME_PARTIAL || traffic_now() >= link->greeting_until) {
        link_lose(link, "the card process did not greet");
        link_drop(link);
    }
}

void link_look(struct link *link)
{
    if (watch_take_news(&link->watch, link->name))
        link->renewed = true;
    switch (link->state) {
    case LINK_EMPTY:
        try_to_connect(link);
        break;
    case LINK_GREETING:
        take_greeting(link);
        break;
    case LINK_PRESENT:
        if (!traffic_is_quiet(link->fd)) {
            link_lose(link, NULL);
            link_drop(link);
        }
        break;
    case LINK_LOST:
        link_drop(link);
        break;
    }
}

/* When to look again without an event. */
static int64_t next_look(const struct link *link, int64_t until)
{
    int64_t next = until;
    if (link->state == LINK_LOST)
        next = 0;
    else if (link->state == LINK_GREETING)
        next = sooner(until, link->greeting_until);
    else if (link->state == LINK_EMPTY && link->renewed)
        next = 0;
    else if (link->state == LINK_EMPTY)
        next = sooner(until, link->watch.folder >= 0 ? link->retry_at : traffic_now() + FOLDER_RETRY_MS);
    return next;
}

static int pause_until(int64_t when)
{
    int64_t rest = when - traffic_now();
    /* A minute at most: then nothing depends on how many milliseconds an int can hold. */
    return rest <= 0 ? 0 : (int)sooner(rest, 60000);
}

void link_stop_waiting(struct link *link)
{
    wake_send(link->wake);
}

void link_wait_for_change(struct link *link, int timeout_ms)
{
    int64_t until = timeout_ms < 0 ? INT64_MAX : traffic_now() + timeout_ms;
    bool stopped = false;
    bool waiting;

    do {
        struct pollfd events[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
        int pause = 0;
        int cancelling = link_hold(link);
        if (link->open)
            link_look(link);
        waiting = link->open && link->changes == link->seen && !stopped && traffic_now() < until;
        if (waiting) {
            events[0] = (struct pollfd){.fd = link->watch.inotify, .events = POLLIN};
            events[1] = (struct pollfd){.fd = link->fd, .events = link->state == LINK_GREETING ? POLLIN : POLLRDHUP};
            events[2] = (struct pollfd){.fd = link->wake, .events = POLLIN};
            pause = pause_until(next_look(link, until));
        } else {
            link->seen = link->changes;
        }
        link_release(link, cancelling);
        if (waiting && poll(events, 3, pause) > 0 && events[2].revents != 0)
            stopped = wake_take(events[2].fd);
    } while (waiting);
}
