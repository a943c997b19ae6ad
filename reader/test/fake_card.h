/* A card process that can be told to misbehave, in a thread. */
#ifndef SRA_FAKE_CARD_H
#define SRA_FAKE_CARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* 3B 8D ... : the historical bytes are the PIV application's identifier. */
#define FAKE_ATR                                                                                                       \
    {                                                                                                                  \
        0x3B, 0x8D, 0x80, 0x01, 0x80, 0xFB, 0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00, 0xCD     \
    }

enum behaviour {
    GOOD, /* answers an APDU with its own bytes and 90 00 */
    GOOD_WITHOUT_PIN_PAD,
    IN_PIECES,     /* good, but every byte is a write of its own */
    FULL_LENGTH,   /* answers with the longest response there is */
    SLOW_TO_GREET, /* greets when half of the time for it is over */

    SAYS_NOTHING, /* accepts and does not greet */
    GREETS_WITH_GARBAGE,
    GREETS_TOO_SHORT, /* an ATR of one byte */
    GREETS_TOO_LONG,  /* an ATR of 34 bytes */
    GREETS_WITH_UNKNOWN_VERSION,
    GREETS_WITH_UNKNOWN_FLAG,
    GREETS_IN_PART, /* and then says nothing more */
    ANSWERS_UNASKED_INSTEAD_OF_GREETING,

    NEVER_ANSWERS,
    DIES_WHEN_ASKED,
    ANSWERS_GARBAGE,
    ANSWERS_TOO_LONG,
    ANSWERS_IN_PART_AND_DIES,
    ANSWERS_IN_PART_AND_HANGS,
    ANSWERS_WITH_THE_WRONG_KIND,
    ANSWERS_TWICE,
    WAITS_THEN_ANSWERS, /* longer than a silence may last */
    WAITS_FOREVER,
    FLOODS_WITH_WAIT,
    SPEAKS_UNASKED
};

struct fake_card {
    enum behaviour behaviour;
    const char *path;
    int listener;
    pthread_t thread;
    atomic_bool ejected;
    atomic_int connections; /* that were accepted */
    atomic_int powered_on;  /* how often */
    atomic_int last_length; /* of the APDU that came last */
    unsigned char last_command[300];
};

/* Bind, listen, and rename into place, as the card process does. */
void fake_card_insert(struct fake_card *card, const char *path, enum behaviour behaviour);

/* Close everything; `leave_socket`: as a process that was killed does it. */
void fake_card_eject(struct fake_card *card, bool leave_socket);

#endif
