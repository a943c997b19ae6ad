#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strnlen() */
#endif
#include "link_inside.h"

#include "link_time.h"
#include "log.h"
#include "traffic.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

int link_hold(struct link *link)
{
    int cancelling;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling);
    (void)pthread_mutex_lock(&link->lock);
    return cancelling;
}

void link_release(struct link *link, int cancelling)
{
    (void)pthread_mutex_unlock(&link->lock);
    (void)pthread_setcancelstate(cancelling, NULL);
}

void link_complain(struct link *link, const char *why)
{
    if (why != NULL && why != link->last_why)
        log_error("%s: %s", link->path, why);
    link->last_why = why;
}

void link_lose(struct link *link, const char *why)
{
    link_complain(link, why);
    if (link->state == LINK_PRESENT) {
        link->changes++;
        log_info("%s: the card is out", link->path);
    }
    link->state = LINK_LOST;
    (void)shutdown(link->fd, SHUT_RDWR);
}

void link_drop(struct link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    link->state = LINK_EMPTY;
    link->retry_at = traffic_now() + RETRY_MS;
    frame_clear(&link->incoming);
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
    link_look(link);
    while (link->state == LINK_GREETING && traffic_wait(link->fd, POLLIN, until))
        link_look(link);
    link->seen = link->changes;
}

bool link_open(struct link *link, const char *path)
{
    int cancelling = link_hold(link);
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
    link_release(link, cancelling);
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
    cancelling = link_hold(link);
    was_open = link->open;
    if (was_open) {
        link_drop(link);
        watch_close(&link->watch);
        wake_close(link->wake);
        link->wake = -1;
        link->open = false;
    }
    link_release(link, cancelling);
    return was_open;
}

bool link_is_open(struct link *link)
{
    int cancelling = link_hold(link);
    bool open = link->open;
    link_release(link, cancelling);
    return open;
}

bool link_is_present(struct link *link)
{
    int cancelling = link_hold(link);
    bool present;
#ifdef SRA_PLAIN_PRESENCE
    if (link->open)
        link_look(link); /* nobody else does */
#endif
    present = link->state == LINK_PRESENT;
    link_release(link, cancelling);
    return present;
}

bool link_read_card(struct link *link, struct greeting *card)
{
    int cancelling = link_hold(link);
    bool present = link->state == LINK_PRESENT;
    *card = link->card;
    link_release(link, cancelling);
    return present;
}
