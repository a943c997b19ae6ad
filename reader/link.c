#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strnlen(), POLLRDHUP */
#endif
#include "link.h"

#include "link_time.h"
#include "log.h"
#include "peer.h"
#include "traffic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

static int64_t sooner(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* Take the lock, with cancelling disabled; what it returns is for release(). */
static int hold(struct link *link)
{
    int cancelling;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling);
    (void)pthread_mutex_lock(&link->lock);
    return cancelling;
}

static void release(struct link *link, int cancelling)
{
    (void)pthread_mutex_unlock(&link->lock);
    (void)pthread_setcancelstate(cancelling, NULL);
}

/* Say in the log why there is no card, unless that was said last. */
static void complain(struct link *link, const char *why)
{
    if (why != NULL && why != link->last_why)
        log_error("%s: %s", link->path, why);
    link->last_why = why;
}

/* The card is gone, for whatever reason. The side that watches will notice and close. */
static void lose(struct link *link, const char *why)
{
    complain(link, why);
    if (link->state == LINK_PRESENT) {
        link->changes++;
        log_info("%s: the card is out", link->path);
    }
    link->state = LINK_LOST;
    (void)shutdown(link->fd, SHUT_RDWR);
}

/* Close the connection. Only for the side that watches. */
static void drop(struct link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    link->state = LINK_EMPTY;
    link->retry_at = traffic_now() + RETRY_MS;
    frame_clear(&link->incoming);
}

/* Presence: the side that watches */

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
            complain(link, why);
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
        lose(link, "the card process did not greet");
        drop(link);
    }
}

/* One move at most, so that pcscd gets to see a card that went and another that came at once as two events. */
static void look(struct link *link)
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
            lose(link, NULL);
            drop(link);
        }
        break;
    case LINK_LOST:
        drop(link);
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
        int cancelling = hold(link);
        if (link->open)
            look(link);
        waiting = link->open && link->changes == link->seen && !stopped && traffic_now() < until;
        if (waiting) {
            events[0] = (struct pollfd){.fd = link->watch.inotify, .events = POLLIN};
            events[1] = (struct pollfd){.fd = link->fd, .events = link->state == LINK_GREETING ? POLLIN : POLLRDHUP};
            events[2] = (struct pollfd){.fd = link->wake, .events = POLLIN};
            pause = pause_until(next_look(link, until));
        } else {
            link->seen = link->changes;
        }
        release(link, cancelling);
        if (waiting && poll(events, 3, pause) > 0 && events[2].revents != 0)
            stopped = wake_take(events[2].fd);
    } while (waiting);
}

/* The reader */

void link_init(struct link *link)
{
    (void)pthread_mutex_init(&link->lock, NULL);
    link->open = false;
    link->fd = -1;
    link->wake = -1;
    link->watch = (struct watch)WATCH_CLOSED;
}

/* Split an absolute path into folder and name; the folder "/" belongs to no card process. */
static bool take_path(struct link *link, const char *path)
{
    size_t length = strnlen(path, LINK_PATH_SIZE);
    const char *slash = strrchr(path, '/');
    bool valid = path[0] == '/' && length < LINK_PATH_SIZE && slash != path && slash[1] != '\0';
    if (valid) {
        size_t folder_length = (size_t)(slash - path);
        memcpy(link->path, path, length + 1);
        memcpy(link->folder, path, folder_length);
        link->folder[folder_length] = '\0';
        link->name = link->path + folder_length + 1;
    }
    return valid;
}

static void find_first_card(struct link *link)
{
    int64_t until = traffic_now() + START_LIMIT_MS;
    look(link);
    while (link->state == LINK_GREETING && traffic_wait(link->fd, POLLIN, until))
        look(link);
    link->seen = link->changes;
}

bool link_open(struct link *link, const char *path)
{
    int cancelling = hold(link);
    bool opened = !link->open && take_path(link, path);
    if (opened) {
        link->open = true;
        link->state = LINK_EMPTY;
        link->renewed = true;
        link->last_why = NULL;
        /* OpenSC asks for a reader's features once, when it first sees the reader: a program that was started before
         * the card came in would never learn of the PIN pad if an empty reader denied it. */
        link->card.pin_pad = true;
        watch_open(&link->watch);
        link->wake = wake_open();
        find_first_card(link);
    }
    release(link, cancelling);
    return opened;
}

bool link_close(struct link *link)
{
    /* pcscd closes a reader even while another thread waits for an answer. That one holds the lock; this wakes it. The
     * number can't be stale: the polling thread, the only one that changes it, has ended. */
    int fd = link->fd;
    bool was_open;
    int cancelling;
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
    cancelling = hold(link);
    was_open = link->open;
    if (was_open) {
        drop(link);
        watch_close(&link->watch);
        wake_close(link->wake);
        link->wake = -1;
        link->open = false;
    }
    release(link, cancelling);
    return was_open;
}

bool link_is_open(struct link *link)
{
    int cancelling = hold(link);
    bool open = link->open;
    release(link, cancelling);
    return open;
}

bool link_is_present(struct link *link)
{
    int cancelling = hold(link);
    bool present;
#ifdef SRA_PLAIN_PRESENCE
    if (link->open)
        look(link); /* no polling thread does */
#endif
    present = link->state == LINK_PRESENT;
    release(link, cancelling);
    return present;
}

bool link_read_card(struct link *link, struct greeting *card)
{
    int cancelling = hold(link);
    bool present = link->state == LINK_PRESENT;
    *card = link->card;
    release(link, cancelling);
    return present;
}

/* Questions */

static enum traffic_result receive_answer(struct link *link, enum frame_kind expected)
{
    int64_t limit = traffic_now() + ANSWER_LIMIT_MS;
    enum traffic_result result;
    unsigned waits = 0;
    bool waiting = true;

    do {
        frame_clear(&link->incoming);
        result = traffic_receive(link->fd, &link->incoming, sooner(traffic_now() + SILENCE_LIMIT_MS, limit));
        waiting = result == TRAFFIC_OK && frame_kind(&link->incoming) == FRAME_WAIT && ++waits <= WAITS_MAX;
    } while (waiting);
    if (result == TRAFFIC_OK && frame_kind(&link->incoming) != (unsigned char)expected)
        result = TRAFFIC_BROKEN;
    return result;
}

static enum link_result take_answer(struct link *link, unsigned char *answer, size_t *answer_size)
{
    enum link_result result = LINK_OK;
    if (link->incoming.length > *answer_size)
        result = LINK_TOO_LONG;
    else if (link->incoming.length > 0)
        memcpy(answer, link->incoming.body, link->incoming.length);
    *answer_size = result == LINK_OK ? link->incoming.length : 0;
    return result;
}

static enum link_result converse(struct link *link, enum frame_kind question, const unsigned char *body, size_t length)
{
    enum link_result result = LINK_OK;
    enum traffic_result traffic =
        traffic_send(link->fd, question, body, length, traffic_now() + SILENCE_LIMIT_MS);
    if (traffic == TRAFFIC_OK)
        traffic = receive_answer(link, question == FRAME_APDU ? FRAME_RESPONSE : FRAME_DONE);
    if (traffic == TRAFFIC_TIMED_OUT) {
        result = LINK_TIMED_OUT;
        lose(link, "the card process did not answer in time");
    } else if (traffic == TRAFFIC_BROKEN) {
        result = LINK_BROKEN;
        lose(link, "the card process closed the connection or broke the protocol");
    }
    return result;
}

enum link_result link_ask(struct link *link, enum frame_kind question, const unsigned char *body, size_t length,
                          unsigned char *answer, size_t *answer_size)
{
    int cancelling = hold(link);
    enum link_result result = LINK_NO_CARD;

    if (link->state == LINK_PRESENT && !traffic_is_quiet(link->fd))
        lose(link, NULL);
    if (link->state == LINK_PRESENT) {
        result = converse(link, question, body, length);
        if (result == LINK_OK)
            result = take_answer(link, answer, answer_size);
        frame_clear(&link->incoming);
    }
    if (result != LINK_OK)
        *answer_size = 0;
    release(link, cancelling);
    return result;
}
