#include "link_inside.h"

#include "link_time.h"
#include "traffic.h"

#include <string.h>

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
        link_lose(link, "the card process did not answer in time");
    } else if (traffic == TRAFFIC_BROKEN) {
        result = LINK_BROKEN;
        link_lose(link, "the card process closed the connection or broke the protocol");
    }
    return result;
}

enum link_result link_ask(struct link *link, enum frame_kind question, const unsigned char *body, size_t length,
                          unsigned char *answer, size_t *answer_size)
{
    int cancelling = link_hold(link);
    enum link_result result = LINK_NO_CARD;

    if (link->state == LINK_PRESENT && !traffic_is_quiet(link->fd))
        link_lose(link, NULL);
    if (link->state == LINK_PRESENT) {
        result = converse(link, question, body, length);
        if (result == LINK_OK)
            result = take_answer(link, answer, answer_size);
        frame_clear(&link->incoming);
    }
    if (result != LINK_OK)
        *answer_size = 0;
    link_release(link, cancelling);
    return result;
}
