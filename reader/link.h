/*
 * One reader: its connection to a card process, and with it whether a card is in.
 *
 * Threads. pcscd calls a reader's entry points one at a time, but its polling thread waits for events beside them.
 * Everything is under `lock`, except that the polling thread waits outside of it.
 *
 * The connection. Only the side that watches opens or closes `fd`: the polling thread, and link_open() and link_close()
 * when that thread doesn't run yet or any more. Any other thread that finds the card process gone or misbehaving only
 * shuts the socket down: that wakes the polling thread, and the number can't be reused for another file under its hands. `wake`
 * lives from link_open() to link_close().
 *
 * Cancelling. pcscd stops the polling thread with pthread_cancel(). The lock is taken with cancelling disabled, so a
 * cancelled thread never dies with the lock in its hands: it dies in poll(), where it owns nothing.
 */
#ifndef SRA_LINK_H
#define SRA_LINK_H

#include "frame.h"
#include "watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Without inotify, and without pcscd's polling with a time limit, presence is what the last look has found. */
#if !defined(__linux__) && !defined(SRA_PLAIN_PRESENCE)
#define SRA_PLAIN_PRESENCE
#endif

#define LINK_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

enum link_state {
    LINK_EMPTY,    /* not connected */
    LINK_GREETING, /* connected, nothing valid heard yet: the reader is empty */
    LINK_PRESENT,  /* the card is in */
    LINK_LOST      /* shut down, not closed yet: the reader is empty */
};

enum link_result {
    LINK_OK,
    LINK_NO_CARD,
    LINK_TIMED_OUT,
    LINK_BROKEN,  /* the card process closed the connection, or broke the protocol */
    LINK_TOO_LONG /* the answer doesn't fit into the caller's buffer; the card is well */
};

struct link {
    pthread_mutex_t lock;
    bool open;
    char path[LINK_PATH_SIZE];
    char folder[LINK_PATH_SIZE];
    const char *name; /* the last part of path */

    struct watch watch;
    bool renewed;         /* a socket has appeared that was not tried yet */
    int64_t retry_at;     /* when to try again without news */
    const char *last_why; /* the last complaint in the log: it isn't repeated every second */

    atomic_int wake; /* an eventfd that ends the wait of the polling thread */
    enum link_state state;
    atomic_int fd;
    int64_t greeting_until;
    struct greeting card; /* of the present card; of the last one while there is none */
    unsigned changes;     /* of presence, ever */
    unsigned seen;        /* the value of changes when the polling thread last returned */

    struct frame incoming;
};

/* Once in the life of the process, before anything else. */
void link_init(struct link *link);

/* Begin to serve the reader whose socket is `path`, an absolute one. False if it can't be, or is served already. */
bool link_open(struct link *link, const char *path);

/* False if it isn't open. A question that is under way ends at once. */
bool link_close(struct link *link);

bool link_is_open(struct link *link);
bool link_is_present(struct link *link);

/* What the card said of itself. False if none is present; `card` is then what the last one said. */
bool link_read_card(struct link *link, struct greeting *card);

/* Return when presence has changed since the last return, or after `timeout_ms` (negative: no limit). It doesn't return
 * for less: after every return pcscd takes an unused card to have been idle for the whole time, and powers it down. */
void link_wait_for_change(struct link *link, int timeout_ms);

/* Have the polling thread return at once, or the next time if it doesn't wait now. Takes no lock: the caller may be any
 * thread of pcscd, and another may be waiting for an answer with the lock in its hands. */
void link_stop_waiting(struct link *link);

/* Ask one question and wait for its answer. `answer_size` is the room for the answer, and then its length. */
enum link_result link_ask(struct link *link, enum frame_kind question, const unsigned char *body, size_t length,
                          unsigned char *answer, size_t *answer_size);

#endif
