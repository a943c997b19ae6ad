#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "watch.h"

#if defined(__linux__) && !defined(SRA_PLAIN_PRESENCE)

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The card process renames a listening socket to its name; bind() without a rename is seen as well. */
#define FILE_EVENTS (IN_CREATE | IN_MOVED_TO)
#define FOLDER_LOST (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

/* Room for a dozen events with the longest names; more are read in the next turn of the loop. */
#define EVENTS_SIZE 4096

void watch_open(struct watch *watch)
{
    watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->folder = -1;
}

void watch_close(struct watch *watch)
{
    if (watch->inotify >= 0)
        (void)close(watch->inotify);
    watch->inotify = -1;
    watch->folder = -1;
}

bool watch_folder(struct watch *watch, const char *folder)
{
    bool begun = false;
    if (watch->inotify >= 0 && watch->folder < 0) {
        watch->folder = inotify_add_watch(watch->inotify, folder,
                                          FILE_EVENTS | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW);
        begun = watch->folder >= 0;
    }
    return begun;
}

static bool take_event(struct watch *watch, const struct inotify_event *event, const char *event_name, const char *name)
{
    bool appeared = (event->mask & IN_Q_OVERFLOW) != 0; /* some were lost: this one may have been among them */
    if (event->wd == watch->folder) {
        if ((event->mask & FILE_EVENTS) != 0 && event->len > 0)
            appeared = strcmp(event_name, name) == 0;
        if ((event->mask & FOLDER_LOST) != 0) {
            /* A folder that was only moved would go on to be watched, in its new place. */
            (void)inotify_rm_watch(watch->inotify, watch->folder);
            watch->folder = -1;
        }
    }
    return appeared;
}

bool watch_take_news(struct watch *watch, const char *name)
{
    alignas(struct inotify_event) char events[EVENTS_SIZE];
    struct inotify_event event;
    bool appeared = false;
    ssize_t size = 0;

    while (watch->inotify >= 0 && (size = read(watch->inotify, events, sizeof events)) > 0) {
        size_t end = (size_t)size;
        size_t at = 0;
        while (at + sizeof event <= end) {
            memcpy(&event, events + at, sizeof event);
            if (take_event(watch, &event, events + at + sizeof event, name))
                appeared = true;
            at += sizeof event + event.len;
        }
    }
    return appeared;
}

int wake_open(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void wake_close(int wake)
{
    if (wake >= 0)
        (void)close(wake);
}

void wake_send(int wake)
{
    if (wake >= 0)
        (void)eventfd_write(wake, 1);
}

bool wake_take(int wake)
{
    eventfd_t count;
    return eventfd_read(wake, &count) == 0;
}

#else

void watch_open(struct watch *watch)
{
    watch->inotify = -1;
    watch->folder = -1;
}

void watch_close(struct watch *watch)
{
    watch_open(watch);
}

bool watch_folder(struct watch *watch, const char *folder)
{
    (void)watch;
    (void)folder;
    return false;
}

bool watch_take_news(struct watch *watch, const char *name)
{
    (void)watch;
    (void)name;
    return false;
}

int wake_open(void)
{
    return -1;
}

void wake_close(int wake)
{
    (void)wake;
}

void wake_send(int wake)
{
    (void)wake;
}

bool wake_take(int wake)
{
    (void)wake;
    return false;
}

#endif
