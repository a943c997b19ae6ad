/*
 * The frames between the driver and the card process (docs/reader-socket.md).
 *
 * Nothing here does I/O: the caller asks where the next bytes belong, puts them there and says how many came.
 */
#ifndef SRA_FRAME_H
#define SRA_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_HEADER_SIZE 5U

/* One kind byte and a 32-bit length may announce 4 GiB; the protocol allows no body longer than this. */
#define FRAME_BODY_MAX 65600U

/* ISO 7816-4: the shortest command is its four byte header; the longest has 65,535 bytes of data between an extended
 * Lc (3 bytes) and an extended Le (2 bytes). A response is at most 65,536 bytes and the status word. */
#define APDU_COMMAND_MIN 4U
#define APDU_COMMAND_MAX 65544U
#define APDU_RESPONSE_MAX 65538U

/* ISO 7816-3: TS and T0 at least, TS and 32 more at most. */
#define ATR_LENGTH_MIN 2U
#define ATR_LENGTH_MAX 33U

enum frame_kind {
    FRAME_GREETING = 0x01,
    FRAME_POWER_ON = 0x02,
    FRAME_POWER_OFF = 0x03,
    FRAME_APDU = 0x04,
    FRAME_DONE = 0x81,
    FRAME_RESPONSE = 0x82,
    FRAME_WAIT = 0x83
};

enum frame_progress {
    FRAME_PARTIAL,  /* more bytes are wanted */
    FRAME_COMPLETE, /* kind, length and body can be read */
    FRAME_INVALID   /* no card process that keeps to the protocol sends this */
};

/* One frame on its way in. Zero bytes are a frame of which nothing has come yet. */
struct frame {
    unsigned char header[FRAME_HEADER_SIZE];
    unsigned char body[FRAME_BODY_MAX];
    size_t received; /* bytes of header and body that have come */
    size_t length;   /* of the body; known once the header is complete */
};

struct greeting {
    unsigned char atr[ATR_LENGTH_MAX];
    size_t atr_length;
    bool pin_pad;
};

/* Forget everything that came, and overwrite it: it may have been a decrypted key. */
void frame_clear(struct frame *frame);

/* Where the next bytes of this frame belong, and how many at most: never a byte of the frame after it. */
unsigned char *frame_space(struct frame *frame, size_t *wanted);

/* Say that `count` bytes were put where frame_space() pointed. */
enum frame_progress frame_filled(struct frame *frame, size_t count);

/* What a complete frame is. */
unsigned char frame_kind(const struct frame *frame);

/* The header of an outgoing frame. */
void frame_make_header(unsigned char header[FRAME_HEADER_SIZE], enum frame_kind kind, size_t length);

/* What a complete frame says if it is a greeting of the version that this driver speaks. */
bool frame_read_greeting(const struct frame *frame, struct greeting *greeting);

#endif
