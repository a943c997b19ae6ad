/* The polling function, threads that meet in it, and what must not leak into pcscd. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "driver_scene.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void test_polling_returns_only_for_a_change_of_its_own_reader(void)
{
    polling_function wait_for_event;
    struct fake_card other;
    long begin;
    open_with_card(GOOD);
    wait_for_event = find_polling_function(LUN);
    if (wait_for_event != NULL) {
        CHECK(wait_for_event(LUN, 0) == IFD_SUCCESS);
        fake_card_insert(&other, other_socket_path, GOOD);
        CHECK(transmit(LUN, 5) == IFD_SUCCESS);
        begin = now_ms();
        CHECK(wait_for_event(LUN, 150) == IFD_SUCCESS);
        CHECK(now_ms() - begin >= 150 && now_ms() - begin < 250);
        fake_card_eject(&other, false);
        CHECK(wait_for_event(OTHER_LUN, 1000) == IFD_NO_SUCH_DEVICE);
    }
    close_with_card();
}

static void *stop_soon(void *argument)
{
    RESPONSECODE (*stop)(DWORD) = NULL;
    DWORD length = sizeof stop;
    unsigned char value[sizeof stop];
    (void)argument;
    CHECK(driver.get(LUN, TAG_IFD_STOP_POLLING_THREAD, &length, value) == IFD_SUCCESS && length == sizeof stop);
    memcpy(&stop, value, sizeof stop);
    (void)poll(NULL, 0, 50);
    CHECK(stop(LUN) == IFD_SUCCESS);
    CHECK(stop(OTHER_LUN) == IFD_SUCCESS); /* it isn't open: nobody waits */
    CHECK(stop(0xFFFF0000) == IFD_NO_SUCH_DEVICE);
    return NULL;
}

static void test_polling_can_be_stopped(void)
{
    polling_function wait_for_event;
    pthread_t thread;
    long begin = now_ms();
    open_with_card(GOOD);
    wait_for_event = find_polling_function(LUN);
    if (wait_for_event != NULL) {
        CHECK(wait_for_event(LUN, 0) == IFD_SUCCESS);
        CHECK(pthread_create(&thread, NULL, stop_soon, NULL) == 0);
        CHECK(wait_for_event(LUN, 10000) == IFD_SUCCESS);
        CHECK(now_ms() - begin < 1000);
        CHECK(pthread_join(thread, NULL) == 0);
        begin = now_ms();
        CHECK(wait_for_event(LUN, 100) == IFD_SUCCESS);
        CHECK(now_ms() - begin >= 100); /* once */
    }
    close_with_card();
}

struct watcher {
    polling_function wait_for_event;
    atomic_bool stop;
    atomic_int changes;
};

static void *watch(void *argument)
{
    struct watcher *watcher = argument;
    RESPONSECODE last = driver.presence(LUN);
    while (!watcher->stop) {
        RESPONSECODE now;
        if (watcher->wait_for_event != NULL)
            (void)watcher->wait_for_event(LUN, 600000);
        else
            (void)poll(NULL, 0, 1);
        now = driver.presence(LUN);
        if (now != last)
            watcher->changes++;
        last = now;
    }
    return NULL;
}

static void wait_for_changes(struct watcher *watcher, int wanted)
{
    long until = now_ms() + 3000;
    while (watcher->changes != wanted && now_ms() < until)
        (void)poll(NULL, 0, 1);
    CHECK(watcher->changes == wanted);
}

/* Cards come, are used by this thread, and die in the middle of it, while another thread watches. */
static void test_a_thread_that_watches_sees_every_change(void)
{
    struct watcher watcher = {0};
    pthread_t thread;
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    watcher.wait_for_event = find_polling_function(LUN);
    CHECK(pthread_create(&thread, NULL, watch, &watcher) == 0);
    for (int round = 0; round < 20; round++) {
        static const enum behaviour behaviours[] = {GOOD, DIES_WHEN_ASKED, ANSWERS_GARBAGE, GOOD};
        bool good = behaviours[round % 4] == GOOD;
        fake_card_insert(&card, socket_path, behaviours[round % 4]);
        wait_for_changes(&watcher, 2 * round + 1);
        CHECK(transmit(LUN, 5) == (good ? IFD_SUCCESS : IFD_COMMUNICATION_ERROR));
        if (!good)
            wait_for_changes(&watcher, 2 * round + 2); /* although its process is still there */
        fake_card_eject(&card, false);
        wait_for_changes(&watcher, 2 * round + 2);
    }
    /* As pcscd stops it: the thread dies in its wait, and the reader can be closed and used again. */
    watcher.stop = true;
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    a_good_card_works_next();
}

static void *close_soon(void *argument)
{
    (void)argument;
    (void)poll(NULL, 0, 50);
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    return NULL;
}

static void test_closing_ends_a_question_at_once(void)
{
    pthread_t thread;
    long begin = now_ms();
    open_with_card(NEVER_ANSWERS);
    CHECK(pthread_create(&thread, NULL, close_soon, NULL) == 0);
    CHECK(transmit(LUN, 5) == IFD_COMMUNICATION_ERROR);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(now_ms() - begin < SILENCE_LIMIT_MS);
    fake_card_eject(&card, false);
}

static void *ask(void *argument)
{
    *(RESPONSECODE *)argument = transmit(LUN, 5);
    return NULL;
}

static void test_a_thread_that_is_cancelled_does_not_keep_the_reader(void)
{
    RESPONSECODE code = IFD_SUCCESS;
    pthread_t thread;
    open_with_card(NEVER_ANSWERS);
    CHECK(pthread_create(&thread, NULL, ask, &code) == 0);
    (void)poll(NULL, 0, 50);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(code == IFD_RESPONSE_TIMEOUT);
    close_with_card();
}

/* The driver's sendmsg() is this one: the card can go in the moment that no look before it could have seen. */
static void (*before_sending)(void);

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (real == NULL)
        find_function(RTLD_NEXT, "sendmsg", &real);
    if (before_sending != NULL)
        before_sending();
    return real(fd, message, flags);
}

static void take_the_card_out(void)
{
    before_sending = NULL;
    fake_card_eject(&card, false);
}

static void test_a_card_that_goes_while_it_is_asked_kills_nobody(void)
{
    open_with_card(GOOD);
    before_sending = take_the_card_out;
    CHECK(transmit(LUN, 5) == IFD_COMMUNICATION_ERROR);
    CHECK(before_sending == NULL);
    CHECK(card_goes());
    a_good_card_works_next();
}

static void test_a_listener_whose_queue_is_full_does_not_hold_the_driver_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int waiting[16];
    size_t count = 0;
    long begin;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    CHECK(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 0) == 0);
    do {
        CHECK(count < sizeof waiting / sizeof waiting[0]);
        waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    } while (connect(waiting[count++], (const struct sockaddr *)&address, sizeof address) == 0);

    begin = now_ms();
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(!becomes(LUN, IFD_ICC_PRESENT, 50));
    CHECK(now_ms() - begin < 200);
    while (count > 0)
        (void)close(waiting[--count]);
    (void)close(listener);
    CHECK(unlink(socket_path) == 0);
    a_good_card_works_next();
}

static void test_nothing_is_inherited_by_a_program_that_pcscd_starts(void)
{
    DIR *files;
    const struct dirent *file;
    open_with_card(GOOD);
    files = opendir("/proc/self/fd");
    CHECK(files != NULL);
    while ((file = readdir(files)) != NULL)
        if (file->d_name[0] != '.' && atoi(file->d_name) > 2)
            CHECK((fcntl(atoi(file->d_name), F_GETFD) & FD_CLOEXEC) != 0);
    (void)closedir(files);
    close_with_card();
}

const struct test polling_tests[] = {
    TEST(test_polling_returns_only_for_a_change_of_its_own_reader),
    TEST(test_polling_can_be_stopped),
    TEST(test_a_thread_that_watches_sees_every_change),
    TEST(test_closing_ends_a_question_at_once),
    TEST(test_a_thread_that_is_cancelled_does_not_keep_the_reader),
    TEST(test_a_card_that_goes_while_it_is_asked_kills_nobody),
    TEST(test_a_listener_whose_queue_is_full_does_not_hold_the_driver_up),
    TEST(test_nothing_is_inherited_by_a_program_that_pcscd_starts),
    {NULL, NULL},
};
