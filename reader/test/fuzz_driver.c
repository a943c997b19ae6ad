/*
 * Feed the whole driver anything from both sides: what a card process sends, and what programs pass through pcscd.
 *
 * The input is a list of parts, each after its length (one byte). The first is what the card process says at once, its
 * greeting if it is a good one; then pairs follow: what it answers, and a call of an entry point with its arguments. The
 * driver talks over a real socket; only sending is ours, so that the answer comes after the question, and no waiting.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../ifdhandler.c"
#include "../link.c"
#include "../traffic.h"

#define ROOM 70000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ssize_t fuzz_sendmsg(int fd, const struct msghdr *message, int flags);

static struct {
    const uint8_t *answer;
    size_t answer_length;
    int card; /* the card process's end */
} scene;

static void must(bool true_always)
{
    if (!true_always)
        abort();
}

/* In place of sendmsg(): the question has left, and its answer is there, or the card process is gone. */
ssize_t fuzz_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t length = 0;
    (void)fd;
    (void)flags;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        length += message->msg_iov[i].iov_len;
    must(length >= FRAME_HEADER_SIZE && length <= FRAME_HEADER_SIZE + FRAME_BODY_MAX);
    if (scene.answer_length > 0)
        (void)send(scene.card, scene.answer, scene.answer_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(scene.card, SHUT_WR); /* no more comes: the driver doesn't wait for it */
    return (ssize_t)length;
}

static const uint8_t *take(const uint8_t **data, size_t *size, size_t *length)
{
    const uint8_t *part = *data + 1;
    *length = 0;
    if (*size > 0) {
        *length = **data < *size - 1 ? **data : *size - 1;
        *data += *length + 1;
        *size -= *length + 1;
    }
    return part;
}

/* A connection to a card process that has just said this. */
static void connect_card(struct link *reader, const uint8_t *said, size_t length)
{
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    scene.card = ends[1];
    if (length > 0)
        (void)send(scene.card, said, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    reader->open = true;
    reader->fd = ends[0];
    reader->state = LINK_GREETING;
    reader->greeting_until = INT64_MAX;
    reader->retry_at = INT64_MAX;
    reader->renewed = false;
    reader->card.pin_pad = true;
    for (size_t i = 0; i < length && reader->state == LINK_GREETING; i++)
        look(reader);
}

static void transmit(const uint8_t *command, size_t length, size_t room)
{
    unsigned char *answer = malloc(room + 1); /* of this very size, so that one byte too many is seen */
    DWORD answer_length = room;
    SCARD_IO_HEADER sent = {1, 0};
    SCARD_IO_HEADER received = {0, 0};
    if (answer != NULL) {
        RESPONSECODE code =
            IFDHTransmitToICC(0, sent, (PUCHAR)(uintptr_t)command, length, answer, &answer_length, &received);
        must(code == IFD_SUCCESS ? answer_length >= 2 && answer_length <= room : answer_length == 0);
    }
    free(answer);
}

static void control_reader(DWORD code, const uint8_t *structure, size_t length, size_t room)
{
    unsigned char *answer = malloc(room + 1);
    DWORD returned = 0;
    if (answer != NULL) {
        (void)IFDHControl(0, code, (PUCHAR)(uintptr_t)structure, length, answer, room, &returned);
        must(returned <= room);
    }
    free(answer);
}

static void power(DWORD action)
{
    unsigned char atr[MAX_ATR_SIZE];
    DWORD length = 0;
    RESPONSECODE code = IFDHPowerICC(0, action, atr, &length);
    must(length <= sizeof atr && (code == IFD_SUCCESS || length == 0));
}

static void get_capability(DWORD tag, size_t room)
{
    unsigned char *value = malloc(room + 1);
    DWORD length = room;
    if (value != NULL && IFDHGetCapabilities(0, tag, &length, value) == IFD_SUCCESS)
        must(length <= room);
    free(value);
}

/* The first byte of a call says which, the second how much room there is for the answer. */
static void call(const uint8_t *said, size_t length)
{
    static const DWORD CODES[] = {CM_IOCTL_GET_FEATURE_REQUEST, CONTROL_VERIFY_PIN, CONTROL_PIN_PROPERTIES, 1};
    static const DWORD ACTIONS[] = {IFD_POWER_UP, IFD_POWER_DOWN, IFD_RESET, 9};
    static const DWORD TAGS[] = {TAG_IFD_ATR, SCARD_ATTR_ATR_STRING, TAG_IFD_SLOTS_NUMBER,
                                 TAG_IFD_POLLING_THREAD_WITH_TIMEOUT, 1};
    if (length < 2)
        return;
    size_t room = said[1] == 0xFF ? ROOM : said[1];
    switch (said[0] % 5) {
    case 0:
        power(ACTIONS[said[1] % 4]);
        break;
    case 1:
        transmit(said + 2, length - 2, room);
        break;
    case 2:
        control_reader(CODES[said[0] / 5 % 4], said + 2, length - 2, room);
        break;
    case 3:
        get_capability(TAGS[said[0] / 5 % 5], room);
        break;
    default:
        (void)IFDHICCPresence(0);
        (void)IFDHICCPresence((DWORD)said[1] << 12);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct link *reader = find_reader(0);
    const uint8_t *greeting;
    size_t length;

    must(reader != NULL);
    greeting = take(&data, &size, &length);
    connect_card(reader, greeting, length);
    while (size > 0) {
        size_t call_length;
        const uint8_t *said;
        scene.answer = take(&data, &size, &scene.answer_length);
        said = take(&data, &size, &call_length);
        call(said, call_length);
        if (reader->state != LINK_PRESENT) /* another card comes in the place of the one that has gone */
            break;
    }
    (void)IFDHCloseChannel(0);
    (void)close(scene.card);
    return 0;
}
