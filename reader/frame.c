#include "frame.h"

#include <string.h>

#define GREETING_VERSION 0x01U
#define GREETING_FLAG_PIN_PAD 0x01U
#define GREETING_FIXED_SIZE 2U /* version and flags, before the ATR */

/* What a card process may send, and how long it may be. */
static const struct {
    enum frame_kind kind;
    size_t shortest;
    size_t longest;
} INCOMING[] = {
    {FRAME_GREETING, GREETING_FIXED_SIZE + ATR_LENGTH_MIN, GREETING_FIXED_SIZE + ATR_LENGTH_MAX},
    {FRAME_DONE, 0, 0},
    {FRAME_RESPONSE, 2, APDU_RESPONSE_MAX},
    {FRAME_WAIT, 0, 0},
};

static bool header_is_allowed(const struct frame *frame)
{
    bool allowed = false;
    for (size_t i = 0; i < sizeof INCOMING / sizeof INCOMING[0]; i++)
        if ((unsigned)INCOMING[i].kind == frame->header[0])
            allowed = frame->length >= INCOMING[i].shortest && frame->length <= INCOMING[i].longest;
    return allowed;
}

static size_t read_length(const unsigned char header[FRAME_HEADER_SIZE])
{
    return (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | (size_t)header[4];
}

void frame_clear(struct frame *frame)
{
    /* Through a volatile pointer, so that the compiler can't drop a write that is never read. */
    volatile unsigned char *body = frame->body;
    for (size_t i = FRAME_HEADER_SIZE; i < frame->received; i++)
        body[i - FRAME_HEADER_SIZE] = 0;
    memset(frame->header, 0, sizeof frame->header);
    frame->received = 0;
    frame->length = 0;
}

unsigned char *frame_space(struct frame *frame, size_t *wanted)
{
    unsigned char *space;
    if (frame->received < FRAME_HEADER_SIZE) {
        *wanted = FRAME_HEADER_SIZE - frame->received;
        space = frame->header + frame->received;
    } else {
        size_t in_body = frame->received - FRAME_HEADER_SIZE;
        *wanted = frame->length - in_body;
        space = frame->body + in_body;
    }
    return space;
}

enum frame_progress frame_filled(struct frame *frame, size_t count)
{
    enum frame_progress progress = FRAME_PARTIAL;
    bool header_was_open = frame->received < FRAME_HEADER_SIZE;

    frame->received += count;
    if (header_was_open && frame->received == FRAME_HEADER_SIZE) {
        frame->length = read_length(frame->header);
        /* Judged before a byte of the body is taken, so that the body always fits. */
        if (!header_is_allowed(frame))
            progress = FRAME_INVALID;
    }
    if (progress == FRAME_PARTIAL && frame->received >= FRAME_HEADER_SIZE &&
        frame->received == FRAME_HEADER_SIZE + frame->length)
        progress = FRAME_COMPLETE;
    return progress;
}

unsigned char frame_kind(const struct frame *frame)
{
    return frame->header[0];
}

void frame_make_header(unsigned char header[FRAME_HEADER_SIZE], enum frame_kind kind, size_t length)
{
    header[0] = (unsigned char)kind;
    header[1] = (unsigned char)(length >> 24 & 0xFFU);
    header[2] = (unsigned char)(length >> 16 & 0xFFU);
    header[3] = (unsigned char)(length >> 8 & 0xFFU);
    header[4] = (unsigned char)(length & 0xFFU);
}

bool frame_read_greeting(const struct frame *frame, struct greeting *greeting)
{
    /* A flag that this driver doesn't know is a promise that it can't keep. */
    bool valid = frame_kind(frame) == FRAME_GREETING && frame->body[0] == GREETING_VERSION &&
                 (frame->body[1] & ~GREETING_FLAG_PIN_PAD) == 0;
    if (valid) {
        greeting->pin_pad = (frame->body[1] & GREETING_FLAG_PIN_PAD) != 0;
        greeting->atr_length = frame->length - GREETING_FIXED_SIZE;
        memcpy(greeting->atr, frame->body + GREETING_FIXED_SIZE, greeting->atr_length);
    }
    return valid;
}
