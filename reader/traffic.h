/* Frames over a connected socket that doesn't block, each wait with an end. */
#ifndef SRA_TRAFFIC_H
#define SRA_TRAFFIC_H

#include "frame.h"

#include <stdint.h>

enum traffic_result {
    TRAFFIC_OK,
    TRAFFIC_TIMED_OUT,
    TRAFFIC_BROKEN /* closed by the peer, or not what the protocol allows */
};

/* Milliseconds on a clock that is never set. */
int64_t traffic_now(void);

/* False once `until` has passed; true if the socket may be ready for `events`. */
bool traffic_wait(int fd, short events, int64_t until);

/* Nothing may come when nothing was asked: then there is no connection any more, or no card that can be believed. */
bool traffic_is_quiet(int fd);

/* Take what has come of the frame that is under way, without waiting. */
enum frame_progress traffic_receive_available(int fd, struct frame *frame);

/* Take one whole frame. */
enum traffic_result traffic_receive(int fd, struct frame *frame, int64_t until);

enum traffic_result traffic_send(int fd, enum frame_kind kind, const unsigned char *body, size_t length, int64_t until);

#endif
