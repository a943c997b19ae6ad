/* How long the driver waits (docs/reader-socket.md). The tests build the driver with shorter times. */
#ifndef SRA_LINK_TIME_H
#define SRA_LINK_TIME_H

/* The card process greets before it does anything else. */
#ifndef GREETING_LIMIT_MS
#define GREETING_LIMIT_MS 1000
#endif

/* The card process says WAIT every second; three in a row don't get lost on a machine that is only busy. */
#ifndef SILENCE_LIMIT_MS
#define SILENCE_LIMIT_MS 3000
#endif

/* A person looks for the card, reads the question and types a PIN. Longer than srad and the card process wait: the table
 * is in src/sra/wire/messages.py, and a test compares. */
#ifndef ANSWER_LIMIT_MS
#define ANSWER_LIMIT_MS 180000
#endif

/* One WAIT a second for as long as an answer may take, and as many again: more is a flood. */
#define WAITS_MAX (2 * 180)

/* After a connection that failed, so that a broken card process costs nothing. */
#ifndef RETRY_MS
#define RETRY_MS 1000
#endif

/* While nothing is there and the folder is watched; in case an event was missed (a mount on top of the folder). */
#define RETRY_UNASKED_MS 10000

/* While the folder itself is missing. */
#ifndef FOLDER_RETRY_MS
#define FOLDER_RETRY_MS 200
#endif

/* At start, so that the program whose call made systemd start pcscd finds the card at once. A card process that is well
 * needs a millisecond; one that hangs must not hold up the other readers. */
#define START_LIMIT_MS 100

#endif
