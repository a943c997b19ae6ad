/* What the parts of a link share: its lock, and what becomes of its connection. */
#ifndef SRA_LINK_INSIDE_H
#define SRA_LINK_INSIDE_H

#include "link.h"

static inline int64_t sooner(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* Take the lock, with cancelling disabled; what it returns is for link_release(). */
int link_hold(struct link *link);
void link_release(struct link *link, int cancelling);

/* Say in the log why there is no card, unless that was said last. */
void link_complain(struct link *link, const char *why);

/* The card is gone, for whatever reason. The side that watches will notice and close. */
void link_lose(struct link *link, const char *why);

/* Close the connection. Only for the side that watches. */
void link_drop(struct link *link);

/* One move at most, so that pcscd gets to see a card that went and another that came at once as two events. */
void link_look(struct link *link);

#endif
