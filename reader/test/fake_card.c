#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fake_card.h"

#include "../frame.h"
#include "../link_time.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(bool well, const char *what)
{
    if (!well) {
        perror(what);
        exit(2);
    }
}

static void nap(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* The driver may have hung up: that is for the test to see. */
static void say_bytes(int fd, const void *bytes, size_t length)
{
    (void)!send(fd, bytes, length, MSG_NOSIGNAL);
}

static void say(struct fake_card *card, int fd, enum frame_kind kind, const unsigned char *body, size_t length)
{
    static _Thread_local unsigned char whole[FRAME_HEADER_SIZE + FRAME_BODY_MAX];
    size_t step = card->behaviour == IN_PIECES ? 1 : FRAME_HEADER_SIZE + length;
    frame_make_header(whole, kind, length);
    if (length > 0)
        memcpy(whole + FRAME_HEADER_SIZE, body, length);
    for (size_t at = 0; at < FRAME_HEADER_SIZE + length; at += step) {
        say_bytes(fd, whole + at, step);
        if (step == 1)
            nap(1);
    }
}

static bool read_exactly(struct fake_card *card, int fd, unsigned char *to, size_t length)
{
    size_t have = 0;
    while (have < length && !card->ejected) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 5) > 0) {
            ssize_t size = recv(fd, to + have, length - have, 0);
            if (size <= 0)
                break;
            have += (size_t)size;
        }
    }
    return have == length;
}

static void greet(struct fake_card *card, int fd)
{
    static const unsigned char atr[] = FAKE_ATR;
    unsigned char body[2 + ATR_LENGTH_MAX + 1] = {0x01, 0x01};
    size_t length = 2 + sizeof atr;
    memcpy(body + 2, atr, sizeof atr);

    if (card->behaviour == GOOD_WITHOUT_PIN_PAD)
        body[1] = 0;
    else if (card->behaviour == SLOW_TO_GREET)
        nap(GREETING_LIMIT_MS / 2);
    else if (card->behaviour == GREETS_TOO_SHORT)
        length = 3;
    else if (card->behaviour == GREETS_TOO_LONG)
        length = sizeof body;
    else if (card->behaviour == GREETS_WITH_UNKNOWN_VERSION)
        body[0] = 2;
    else if (card->behaviour == GREETS_WITH_UNKNOWN_FLAG)
        body[1] = 0x81;

    if (card->behaviour == GREETS_WITH_GARBAGE)
        say_bytes(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    else if (card->behaviour == GREETS_IN_PART)
        say_bytes(fd, "\x01\x00\x00", 3);
    else if (card->behaviour == ANSWERS_UNASKED_INSTEAD_OF_GREETING)
        say(card, fd, FRAME_RESPONSE, (const unsigned char *)"\x90\x00", 2);
    else if (card->behaviour != SAYS_NOTHING)
        say(card, fd, FRAME_GREETING, body, length);
    if (card->behaviour == SPEAKS_UNASKED)
        say(card, fd, FRAME_RESPONSE, (const unsigned char *)"\x90\x00", 2);
}

static void answer_normally(struct fake_card *card, int fd, const unsigned char *command, size_t length)
{
    static _Thread_local unsigned char response[APDU_RESPONSE_MAX];
    size_t size = card->behaviour == FULL_LENGTH ? APDU_RESPONSE_MAX - 2 : length;
    memset(response, 0xA5, sizeof response);
    memcpy(response, command, length < APDU_RESPONSE_MAX - 2 ? length : APDU_RESPONSE_MAX - 2);
    if (size > APDU_RESPONSE_MAX - 2)
        size = APDU_RESPONSE_MAX - 2;
    response[size] = 0x90;
    response[size + 1] = 0x00;
    say(card, fd, FRAME_RESPONSE, response, size + 2);
}

static void keep_waiting(struct fake_card *card, int fd, int pause_ms, int times)
{
    struct pollfd gone = {.fd = fd, .events = 0};
    for (int i = 0; i < times && !card->ejected && poll(&gone, 1, pause_ms) == 0; i++)
        say(card, fd, FRAME_WAIT, NULL, 0);
}

/* False when the connection is to be closed. */
static bool answer_apdu(struct fake_card *card, int fd, const unsigned char *command, size_t length)
{
    bool open = true;
    switch ((int)card->behaviour) {
    case NEVER_ANSWERS:
        break;
    case DIES_WHEN_ASKED:
        open = false;
        break;
    case ANSWERS_GARBAGE:
        say_bytes(fd, "\xDE\xAD\xBE\xEF\xDE\xAD\xBE\xEF", 8);
        break;
    case ANSWERS_TOO_LONG:
        say_bytes(fd, "\x82\x00\x01\x00\x03", 5); /* 65,539 bytes: one more than a response can have */
        break;
    case ANSWERS_IN_PART_AND_DIES:
        open = false;
        say_bytes(fd, "\x82\x00\x00\x00\x0A\x01\x02\x03", 8);
        break;
    case ANSWERS_IN_PART_AND_HANGS:
        say_bytes(fd, "\x82\x00\x00\x00\x0A\x01\x02\x03", 8);
        break;
    case ANSWERS_WITH_THE_WRONG_KIND:
        say(card, fd, FRAME_DONE, NULL, 0);
        break;
    case ANSWERS_TWICE:
        answer_normally(card, fd, command, length);
        answer_normally(card, fd, command, length);
        break;
    case WAITS_THEN_ANSWERS:
        keep_waiting(card, fd, SILENCE_LIMIT_MS / 3, 5);
        answer_normally(card, fd, command, length);
        break;
    case WAITS_FOREVER:
        keep_waiting(card, fd, SILENCE_LIMIT_MS / 3, 1000);
        break;
    case FLOODS_WITH_WAIT:
        keep_waiting(card, fd, 0, 1000000);
        break;
    default:
        answer_normally(card, fd, command, length);
        break;
    }
    return open;
}

static bool answer_frame(struct fake_card *card, int fd)
{
    static _Thread_local unsigned char body[FRAME_BODY_MAX];
    unsigned char header[FRAME_HEADER_SIZE];
    size_t length = 0;
    bool open = read_exactly(card, fd, header, sizeof header);
    if (open) {
        length = (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | (size_t)header[4];
        must(length <= sizeof body, "the driver sends no frame that is too long");
        open = read_exactly(card, fd, body, length);
    }
    if (open && header[0] == FRAME_APDU) {
        memcpy(card->last_command, body, length < sizeof card->last_command ? length : sizeof card->last_command);
        card->last_length = (int)length;
        open = answer_apdu(card, fd, body, length);
    } else if (open) {
        must(length == 0 && (header[0] == FRAME_POWER_ON || header[0] == FRAME_POWER_OFF), "a frame of the driver");
        if (header[0] == FRAME_POWER_ON)
            card->powered_on++;
        say(card, fd, FRAME_DONE, NULL, 0);
    }
    return open;
}

static void *serve(void *argument)
{
    struct fake_card *card = argument;
    while (!card->ejected) {
        struct pollfd ready = {.fd = card->listener, .events = POLLIN};
        if (poll(&ready, 1, 5) > 0) {
            int fd = accept4(card->listener, NULL, NULL, SOCK_CLOEXEC);
            must(fd >= 0, "accept");
            card->connections++;
            greet(card, fd);
            while (answer_frame(card, fd))
                continue;
            (void)close(fd);
        }
    }
    return NULL;
}

void fake_card_insert(struct fake_card *card, const char *path, enum behaviour behaviour)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(card, 0, sizeof *card);
    card->behaviour = behaviour;
    card->path = path;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s.new", path);
    card->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(card->listener >= 0, "socket");
    must(bind(card->listener, (const struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(card->listener, 8) == 0, "listen");
    must(pthread_create(&card->thread, NULL, serve, card) == 0, "pthread_create");
    must(rename(address.sun_path, path) == 0, "rename");
}

void fake_card_eject(struct fake_card *card, bool leave_socket)
{
    if (!leave_socket)
        must(unlink(card->path) == 0, "unlink");
    card->ejected = true;
    must(pthread_join(card->thread, NULL) == 0, "pthread_join");
    (void)close(card->listener);
}
