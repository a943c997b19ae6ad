/* What the polling thread waits for beside the socket: news of a folder (has a file of a certain name appeared there?),
 * and being told to stop. */
#ifndef SRA_WATCH_H
#define SRA_WATCH_H

#include <stdbool.h>

struct watch {
    int inotify; /* -1 where there is none: then there is never news, and the caller has to look by itself */
    int folder;  /* the watch on the folder, -1 while there is no such folder */
};

#define WATCH_CLOSED {.inotify = -1, .folder = -1}

void watch_open(struct watch *watch);
void watch_close(struct watch *watch);

/* Watch `folder` if that is possible and not done yet. True if it was begun now: what came before was not seen. */
bool watch_folder(struct watch *watch, const char *folder);

/* Take all events. True if a file `name` has appeared. A folder that was deleted or moved away is no longer watched. */
bool watch_take_news(struct watch *watch, const char *name);

/* A file descriptor that is ready to be read once a thread has sent to it; -1 where nothing waits. Sending is safe in
 * any thread, for as long as the descriptor is open. */
int wake_open(void);
void wake_close(int wake);
void wake_send(int wake);

/* Make it unready again. False if it wasn't ready. */
bool wake_take(int wake);

#endif
