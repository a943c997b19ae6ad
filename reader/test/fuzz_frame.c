/* Feed the frame parser anything, in any pieces: it must stay within its bounds, and pieces must make no difference. */
#include "../frame.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_always)
{
    if (!true_always)
        abort();
}

/* Give the parser at most `step` bytes at a time; returns how many it took until the frame was decided. */
static size_t feed(struct frame *frame, const uint8_t *data, size_t size, size_t step, enum frame_progress *progress)
{
    size_t taken = 0;
    *progress = FRAME_PARTIAL;
    while (*progress == FRAME_PARTIAL && taken < size) {
        size_t wanted;
        unsigned char *space = frame_space(frame, &wanted);
        size_t count = size - taken < step ? size - taken : step;
        must(wanted > 0);
        must((space >= frame->header && space + wanted <= frame->header + FRAME_HEADER_SIZE) ||
             (space >= frame->body && space + wanted <= frame->body + FRAME_BODY_MAX));
        if (count > wanted)
            count = wanted;
        memcpy(space, data + taken, count);
        taken += count;
        *progress = frame_filled(frame, count);
    }
    return taken;
}

static void check_greeting(const struct frame *frame)
{
    struct greeting greeting;
    if (frame_read_greeting(frame, &greeting)) {
        must(frame_kind(frame) == FRAME_GREETING);
        must(greeting.atr_length >= ATR_LENGTH_MIN && greeting.atr_length <= ATR_LENGTH_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame whole;
    static struct frame pieces;
    size_t step = size > 0 ? 1U + data[0] % 7U : 1U;
    size_t at = size > 0 ? 1 : 0;
    enum frame_progress progress = FRAME_COMPLETE;

    while (progress == FRAME_COMPLETE && at < size) {
        enum frame_progress progress_in_pieces;
        size_t taken;
        frame_clear(&whole);
        frame_clear(&pieces);
        taken = feed(&whole, data + at, size - at, SIZE_MAX, &progress);
        must(feed(&pieces, data + at, size - at, step, &progress_in_pieces) == taken);
        must(progress == progress_in_pieces);
        if (progress == FRAME_COMPLETE) {
            must(taken == FRAME_HEADER_SIZE + whole.length && pieces.length == whole.length);
            must(memcmp(whole.body, pieces.body, whole.length) == 0);
            check_greeting(&whole);
        }
        at += taken;
    }
    return 0;
}
