/*
 * Load the driver as pcscd does, without pcscd, and hold it against a card process that keeps to the protocol and many
 * that don't.
 *
 *   loader DRIVER.so
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../frame.h"
#include "../link_time.h"
#include "fake_card.h"

#include <dlfcn.h>
#include <ifdhandler.h>
#include <reader.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LUN 0x00000000U
#define OTHER_LUN 0x00010000U

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef RESPONSECODE (*polling_function)(DWORD lun, int timeout_ms);

static struct {
    RESPONSECODE (*create)(DWORD lun, LPSTR name);
    RESPONSECODE (*create_by_number)(DWORD lun, DWORD channel);
    RESPONSECODE (*close)(DWORD lun);
    RESPONSECODE (*get)(DWORD lun, DWORD tag, PDWORD length, PUCHAR value);
    RESPONSECODE (*set)(DWORD lun, DWORD tag, DWORD length, PUCHAR value);
    RESPONSECODE (*protocol)(DWORD lun, DWORD protocol, UCHAR flags, UCHAR pts1, UCHAR pts2, UCHAR pts3);
    RESPONSECODE (*power)(DWORD lun, DWORD action, PUCHAR atr, PDWORD length);
    RESPONSECODE (*transmit)(DWORD lun, SCARD_IO_HEADER from, PUCHAR command, DWORD length, PUCHAR response,
                             PDWORD room, PSCARD_IO_HEADER to);
    RESPONSECODE (*presence)(DWORD lun);
    RESPONSECODE (*control)(DWORD lun, DWORD code, PUCHAR from, DWORD length, PUCHAR to, DWORD room, LPDWORD returned);
} driver;

static char folder[64];
static char socket_path[96];
static char other_socket_path[96];
static struct fake_card card;

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ISO C has no cast from an object pointer to a function pointer. */
static void find_function(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    memcpy(function, &found, sizeof found);
}

static void load_driver(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        (void)fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    find_function(library, "IFDHCreateChannelByName", &driver.create);
    find_function(library, "IFDHCreateChannel", &driver.create_by_number);
    find_function(library, "IFDHCloseChannel", &driver.close);
    find_function(library, "IFDHGetCapabilities", &driver.get);
    find_function(library, "IFDHSetCapabilities", &driver.set);
    find_function(library, "IFDHSetProtocolParameters", &driver.protocol);
    find_function(library, "IFDHPowerICC", &driver.power);
    find_function(library, "IFDHTransmitToICC", &driver.transmit);
    find_function(library, "IFDHICCPresence", &driver.presence);
    find_function(library, "IFDHControl", &driver.control);
}

/* Steps that the tests are made of */

static RESPONSECODE open_reader(DWORD lun, const char *path)
{
    char name[160];
    (void)snprintf(name, sizeof name, "/dev/null:%s", path);
    return driver.create(lun, name);
}

static polling_function find_polling_function(DWORD lun)
{
    polling_function function = NULL;
    DWORD length = sizeof function;
    unsigned char value[sizeof function];
    if (driver.get(lun, TAG_IFD_POLLING_THREAD_WITH_TIMEOUT, &length, value) == IFD_SUCCESS) {
        CHECK(length == sizeof function);
        memcpy(&function, value, sizeof function);
    }
    return function;
}

/* As pcscd: wait in the polling function where there is one, then ask. */
static bool becomes(DWORD lun, RESPONSECODE wanted, int limit_ms)
{
    long until = now_ms() + limit_ms;
    polling_function wait_for_event = find_polling_function(lun);
    RESPONSECODE presence;
    while ((presence = driver.presence(lun)) != wanted && now_ms() < until) {
        if (wait_for_event != NULL)
            CHECK(wait_for_event(lun, (int)(until - now_ms())) == IFD_SUCCESS);
        else
            (void)poll(NULL, 0, 1);
    }
    return presence == wanted;
}

static bool card_comes(void)
{
    return becomes(LUN, IFD_ICC_PRESENT, 2000);
}

static bool card_goes(void)
{
    return becomes(LUN, IFD_ICC_NOT_PRESENT, 2000);
}

static RESPONSECODE power(DWORD action)
{
    static const unsigned char expected[] = FAKE_ATR;
    unsigned char atr[MAX_ATR_SIZE] = {0};
    DWORD length = sizeof atr;
    RESPONSECODE code = driver.power(LUN, action, atr, &length);
    if (code == IFD_SUCCESS && action != IFD_POWER_DOWN)
        CHECK(length == sizeof expected && memcmp(atr, expected, length) == 0);
    else
        CHECK(length == 0);
    return code;
}

static unsigned char response[APDU_RESPONSE_MAX + 8];
static DWORD response_length;

static RESPONSECODE transmit(DWORD lun, size_t length)
{
    static unsigned char command[APDU_COMMAND_MAX + 1];
    SCARD_IO_HEADER from = {0, 0};
    SCARD_IO_HEADER to = {0, 0};
    RESPONSECODE code;
    for (size_t i = 0; i < length; i++)
        command[i] = (unsigned char)(i * 7 + 1);
    response_length = sizeof response;
    code = driver.transmit(lun, from, command, (DWORD)length, response, &response_length, &to);
    if (code == IFD_SUCCESS) {
        CHECK(to.Protocol == 1);
        CHECK(response_length >= 2 && response[response_length - 2] == 0x90 && response[response_length - 1] == 0);
        for (size_t i = 0; i < length && i < response_length - 2; i++)
            CHECK(response[i] == command[i]);
    } else {
        CHECK(response_length == 0);
    }
    return code;
}

static void open_with_card(enum behaviour behaviour)
{
    fake_card_insert(&card, socket_path, behaviour);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(card_comes());
}

static void close_with_card(void)
{
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    fake_card_eject(&card, false);
}

/* A good card must work, whatever happened before. */
static void a_good_card_works_next(void)
{
    fake_card_insert(&card, socket_path, GOOD);
    CHECK(card_comes());
    CHECK(power(IFD_POWER_UP) == IFD_SUCCESS);
    CHECK(transmit(LUN, 5) == IFD_SUCCESS && response_length == 7);
    close_with_card();
}

/* Tests */

static void test_a_card_that_is_in_already_is_found_at_once(void)
{
    fake_card_insert(&card, socket_path, GOOD);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(becomes(LUN, IFD_ICC_PRESENT, find_polling_function(LUN) != NULL ? 0 : 100));
    close_with_card();
}

static void test_insertion_and_removal(void)
{
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(driver.presence(LUN) == IFD_ICC_NOT_PRESENT);
    for (int round = 0; round < 5; round++) {
        /* With a socket that was left behind there is no news of it, and no need for any: it refuses. */
        fake_card_insert(&card, socket_path, GOOD);
        CHECK(card_comes());
        CHECK(power(IFD_POWER_UP) == IFD_SUCCESS && power(IFD_RESET) == IFD_SUCCESS);
        CHECK(power(IFD_POWER_DOWN) == IFD_SUCCESS && card.powered_on == 2);
        CHECK(transmit(LUN, 20) == IFD_SUCCESS);
        fake_card_eject(&card, round % 2 == 0);
        CHECK(card_goes());
        CHECK(transmit(LUN, 20) == IFD_ICC_NOT_PRESENT);
        CHECK(power(IFD_POWER_UP) == IFD_ERROR_POWER_ACTION && power(IFD_POWER_DOWN) == IFD_SUCCESS);
    }
    CHECK(driver.close(LUN) == IFD_SUCCESS);
}

static void test_apdus_of_every_size(void)
{
    static const size_t sizes[] = {4, 5, 261, 4096, 65536};
    open_with_card(GOOD);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        CHECK(transmit(LUN, sizes[i]) == IFD_SUCCESS && response_length == sizes[i] + 2);
    CHECK(transmit(LUN, APDU_COMMAND_MAX) == IFD_SUCCESS && response_length == APDU_RESPONSE_MAX);
    CHECK(transmit(LUN, APDU_COMMAND_MIN - 1) == IFD_COMMUNICATION_ERROR);
    CHECK(transmit(LUN, APDU_COMMAND_MAX + 1) == IFD_COMMUNICATION_ERROR);
    CHECK(transmit(LUN, 4) == IFD_SUCCESS && card.connections == 1);
    close_with_card();
}

static void test_the_longest_response(void)
{
    open_with_card(FULL_LENGTH);
    CHECK(transmit(LUN, 5) == IFD_SUCCESS && response_length == APDU_RESPONSE_MAX);
    close_with_card();
}

static void test_a_buffer_that_is_too_small_is_the_callers_mistake(void)
{
    unsigned char command[] = {0, 0xCA, 0, 0, 0};
    SCARD_IO_HEADER pci = {0, 0};
    DWORD room = 6;
    open_with_card(GOOD);
    CHECK(driver.transmit(LUN, pci, command, sizeof command, response, &room, NULL) == IFD_ERROR_INSUFFICIENT_BUFFER);
    CHECK(room == 0);
    CHECK(transmit(LUN, 5) == IFD_SUCCESS && card.connections == 1);
    close_with_card();
}

static void test_frames_in_pieces(void)
{
    open_with_card(IN_PIECES);
    CHECK(power(IFD_POWER_UP) == IFD_SUCCESS);
    CHECK(transmit(LUN, 40) == IFD_SUCCESS);
    close_with_card();
}

static void test_a_slow_greeting_is_a_greeting(void)
{
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    fake_card_insert(&card, socket_path, SLOW_TO_GREET);
    CHECK(!becomes(LUN, IFD_ICC_PRESENT, GREETING_LIMIT_MS / 4));
    CHECK(card_comes() && card.connections == 1);
    close_with_card();
}

static void test_no_card_without_a_valid_greeting(void)
{
    static const enum behaviour behaviours[] = {
        SAYS_NOTHING,     GREETS_WITH_GARBAGE,         GREETS_TOO_SHORT,
        GREETS_TOO_LONG,  GREETS_WITH_UNKNOWN_VERSION, GREETS_WITH_UNKNOWN_FLAG,
        GREETS_IN_PART,   ANSWERS_UNASKED_INSTEAD_OF_GREETING,
    };
    for (size_t i = 0; i < sizeof behaviours / sizeof behaviours[0]; i++) {
        long begin = now_ms();
        fake_card_insert(&card, socket_path, behaviours[i]);
        CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
        CHECK(now_ms() - begin < START_LIMIT_MS + 100);
        CHECK(!becomes(LUN, IFD_ICC_PRESENT, GREETING_LIMIT_MS + RETRY_MS + 100));
        CHECK(card.connections >= 2 && card.connections <= 4); /* one after each RETRY_MS, not as many as it can */
        CHECK(transmit(LUN, 5) == IFD_ICC_NOT_PRESENT);
        fake_card_eject(&card, false);
        a_good_card_works_next();
    }
}

static void test_a_card_that_answers_wrongly_is_out(void)
{
    static const struct {
        enum behaviour behaviour;
        RESPONSECODE code;
        long limit_ms;
    } cases[] = {
        {NEVER_ANSWERS, IFD_RESPONSE_TIMEOUT, SILENCE_LIMIT_MS},
        {DIES_WHEN_ASKED, IFD_COMMUNICATION_ERROR, 0},
        {ANSWERS_GARBAGE, IFD_COMMUNICATION_ERROR, 0},
        {ANSWERS_TOO_LONG, IFD_COMMUNICATION_ERROR, 0},
        {ANSWERS_IN_PART_AND_DIES, IFD_COMMUNICATION_ERROR, 0},
        {ANSWERS_IN_PART_AND_HANGS, IFD_RESPONSE_TIMEOUT, SILENCE_LIMIT_MS},
        {ANSWERS_WITH_THE_WRONG_KIND, IFD_COMMUNICATION_ERROR, 0},
        {WAITS_FOREVER, IFD_RESPONSE_TIMEOUT, ANSWER_LIMIT_MS},
        {FLOODS_WITH_WAIT, IFD_COMMUNICATION_ERROR, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        long begin;
        open_with_card(cases[i].behaviour);
        begin = now_ms();
        CHECK(transmit(LUN, 5) == cases[i].code);
        CHECK(now_ms() - begin >= cases[i].limit_ms && now_ms() - begin < cases[i].limit_ms + 200);
        CHECK(driver.presence(LUN) == IFD_ICC_NOT_PRESENT);
        fake_card_eject(&card, false);
        CHECK(card_goes());
        a_good_card_works_next();
    }
}

static void test_a_card_that_speaks_unasked_is_out(void)
{
    static const enum behaviour behaviours[] = {SPEAKS_UNASKED, ANSWERS_TWICE};
    for (size_t i = 0; i < sizeof behaviours / sizeof behaviours[0]; i++) {
        open_with_card(behaviours[i]);
        if (behaviours[i] == ANSWERS_TWICE)
            CHECK(transmit(LUN, 5) == IFD_SUCCESS);
        (void)poll(NULL, 0, 20);
        CHECK(transmit(LUN, 5) == IFD_ICC_NOT_PRESENT);
        fake_card_eject(&card, false);
        CHECK(card_goes());
        a_good_card_works_next();
    }
}

static void test_wait_extends_the_time_for_an_answer(void)
{
    long begin;
    open_with_card(WAITS_THEN_ANSWERS);
    begin = now_ms();
    CHECK(transmit(LUN, 5) == IFD_SUCCESS);
    CHECK(now_ms() - begin > SILENCE_LIMIT_MS);
    close_with_card();
}

static void test_a_card_that_was_replaced_is_seen_to_go_and_come(void)
{
    struct fake_card next;
    open_with_card(GOOD);
    fake_card_insert(&next, socket_path, GOOD_WITHOUT_PIN_PAD);
    fake_card_eject(&card, true);
    CHECK(card_goes());
    CHECK(card_comes() && next.connections == 1);
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    fake_card_eject(&next, false);
}

static void test_the_folder_may_come_later_and_go_and_come_again(void)
{
    char away[96];
    CHECK(rmdir(folder) == 0);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(!becomes(LUN, IFD_ICC_PRESENT, 20));
    for (int round = 0; round < 3; round++) {
        CHECK(mkdir(folder, 0700) == 0);
        fake_card_insert(&card, socket_path, GOOD);
        CHECK(becomes(LUN, IFD_ICC_PRESENT, 2 * FOLDER_RETRY_MS + 50));
        (void)snprintf(away, sizeof away, "%s.away", folder);
        if (round == 1) {
            CHECK(rename(folder, away) == 0);
            fake_card_eject(&card, true);
            CHECK(card_goes());
            (void)snprintf(away, sizeof away, "%s.away/0", folder);
            CHECK(unlink(away) == 0);
            (void)snprintf(away, sizeof away, "%s.away", folder);
            CHECK(rmdir(away) == 0);
        } else {
            fake_card_eject(&card, false);
            CHECK(rmdir(folder) == 0);
            CHECK(card_goes());
        }
        CHECK(!becomes(LUN, IFD_ICC_PRESENT, 2 * RETRY_MS)); /* nothing is left to do but to look for the folder */
    }
    CHECK(mkdir(folder, 0700) == 0);
    a_good_card_works_next();
}

static void test_a_folder_that_others_may_write_in_is_refused(void)
{
    static const mode_t modes[] = {0720, 0702, 0777, 01777};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        CHECK(chmod(folder, modes[i]) == 0);
        fake_card_insert(&card, socket_path, GOOD);
        CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
        CHECK(!becomes(LUN, IFD_ICC_PRESENT, RETRY_MS + 100));
        CHECK(chmod(folder, 0755) == 0);
        CHECK(card_comes());
        close_with_card();
    }
    CHECK(chmod(folder, 0700) == 0);
}

static size_t read_features(unsigned char *features, size_t room)
{
    DWORD length = 99;
    CHECK(driver.control(LUN, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, features, (DWORD)room, &length) == IFD_SUCCESS);
    return length;
}

static DWORD read_control_code(const unsigned char *feature)
{
    CHECK(feature[1] == 4);
    return (DWORD)feature[2] << 24 | (DWORD)feature[3] << 16 | (DWORD)feature[4] << 8 | (DWORD)feature[5];
}

static void test_the_pin_pad(void)
{
    unsigned char structure[256] = {0};
    unsigned char features[64];
    DWORD length = 0;
    DWORD verify;
    open_with_card(GOOD);
    CHECK(read_features(features, sizeof features) == 12);
    CHECK(features[0] == FEATURE_VERIFY_PIN_DIRECT && features[6] == FEATURE_IFD_PIN_PROPERTIES);
    CHECK(driver.control(LUN, read_control_code(features + 6), NULL, 0, features + 20, 4, &length) == IFD_SUCCESS);
    CHECK(length == sizeof(PIN_PROPERTIES_STRUCTURE));

    verify = read_control_code(features);
    for (size_t size = sizeof(PIN_VERIFY_STRUCTURE); size <= 255; size += 1 + size / 3) {
        for (size_t i = 0; i < size; i++)
            structure[i] = (unsigned char)(i ^ 0x5AU);
        CHECK(driver.control(LUN, verify, structure, (DWORD)size, response, sizeof response, &length) == IFD_SUCCESS);
        CHECK(length == size + 5 + 2 && card.last_length == (int)size + 5);
        CHECK(memcmp(card.last_command, "\xFF\xC2\x01\x06", 4) == 0 && card.last_command[4] == size);
        CHECK(memcmp(card.last_command + 5, structure, size) == 0);
    }
    CHECK(driver.control(LUN, verify, structure, 256, response, sizeof response, &length) == IFD_COMMUNICATION_ERROR);
    CHECK(length == 0);
    CHECK(driver.control(LUN, verify, structure, 18, response, sizeof response, &length) == IFD_COMMUNICATION_ERROR);
    CHECK(driver.control(LUN, verify, NULL, 30, response, sizeof response, &length) == IFD_COMMUNICATION_ERROR);
    CHECK(driver.control(LUN, verify, structure, 30, response, 1, &length) == IFD_ERROR_INSUFFICIENT_BUFFER);
    CHECK(driver.control(LUN, 0x42001234, structure, 30, response, 9, &length) == IFD_ERROR_NOT_SUPPORTED);
    CHECK(driver.control(LUN, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, features, 11, &length) ==
          IFD_ERROR_INSUFFICIENT_BUFFER);
    close_with_card();
}

static void test_no_pin_pad_where_the_greeting_offers_none(void)
{
    unsigned char features[64];
    DWORD length = 99;
    DWORD verify;
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(read_features(features, sizeof features) == 12); /* empty: a program that asks only now must learn of it */
    verify = read_control_code(features);
    fake_card_insert(&card, socket_path, GOOD_WITHOUT_PIN_PAD);
    CHECK(card_comes());
    CHECK(read_features(features, sizeof features) == 0);
    CHECK(driver.control(LUN, verify, features, 30, response, sizeof response, &length) == IFD_ERROR_NOT_SUPPORTED);
    CHECK(length == 0 && card.last_length == 0);
    fake_card_eject(&card, false);
    CHECK(card_goes());
    CHECK(read_features(features, sizeof features) == 0);
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(read_features(features, sizeof features) == 12);
    CHECK(driver.close(LUN) == IFD_SUCCESS);
}

static void test_capabilities(void)
{
    static const unsigned char atr[] = FAKE_ATR;
    unsigned char value[64];
    DWORD length = sizeof value;
    open_with_card(GOOD);
    CHECK(driver.get(LUN, TAG_IFD_ATR, &length, value) == IFD_SUCCESS);
    CHECK(length == sizeof atr && memcmp(value, atr, sizeof atr) == 0);
    length = sizeof atr - 1;
    CHECK(driver.get(LUN, TAG_IFD_ATR, &length, value) == IFD_ERROR_INSUFFICIENT_BUFFER);
    length = 1;
    CHECK(driver.get(LUN, TAG_IFD_SLOTS_NUMBER, &length, value) == IFD_SUCCESS && length == 1 && value[0] == 1);
    CHECK(driver.get(LUN, TAG_IFD_SIMULTANEOUS_ACCESS, &length, value) == IFD_SUCCESS && value[0] == 16);
    CHECK(driver.get(LUN, TAG_IFD_THREAD_SAFE, &length, value) == IFD_SUCCESS && value[0] == 1);
    CHECK(driver.get(LUN, SCARD_ATTR_VENDOR_NAME, &length, value) == IFD_ERROR_TAG);
    CHECK(driver.set(LUN, TAG_IFD_SLOTNUM, 1, value) == IFD_ERROR_TAG);
    CHECK(driver.protocol(LUN, SCARD_PROTOCOL_T1, 0, 0, 0, 0) == IFD_SUCCESS);
    CHECK(driver.protocol(LUN, SCARD_PROTOCOL_T0, 0, 0, 0, 0) == IFD_PROTOCOL_NOT_SUPPORTED);
    CHECK(power(77) == IFD_NOT_SUPPORTED);
    close_with_card();
}

static void test_names_that_are_no_reader(void)
{
    static const char *const names[] = {"", "/dev/null", "/dev/null:", "/dev/null:relative", "/dev/null:/",
                                        "/dev/null:/folder/", "/dev/null:/in_the_root"};
    char name[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(name, sizeof name, "%s", names[i]);
        CHECK(driver.create(LUN, name) == IFD_COMMUNICATION_ERROR);
    }
    memset(name, 'x', sizeof name);
    memcpy(name, "/dev/null:/tmp/", 15);
    name[15 + 104] = '\0'; /* sun_path has room for 107 bytes and the end */
    CHECK(driver.create(LUN, name) == IFD_COMMUNICATION_ERROR);
    CHECK(driver.create(LUN, NULL) == IFD_COMMUNICATION_ERROR);
    CHECK(driver.create_by_number(LUN, 1) == IFD_COMMUNICATION_ERROR);
}

static void test_readers_that_are_not_open(void)
{
    static const DWORD luns[] = {LUN, OTHER_LUN, 0x00000001, 0x000F0000, 0x00100000, 0xFFFFFFFF};
    unsigned char byte[MAX_ATR_SIZE];
    for (size_t i = 0; i < sizeof luns / sizeof luns[0]; i++) {
        DWORD length = sizeof byte;
        CHECK(driver.presence(luns[i]) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.get(luns[i], TAG_IFD_SLOTS_NUMBER, &length, byte) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.set(luns[i], TAG_IFD_SLOTNUM, 1, byte) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.protocol(luns[i], SCARD_PROTOCOL_T1, 0, 0, 0, 0) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.power(luns[i], IFD_POWER_UP, byte, &length) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.control(luns[i], CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, byte, 12, &length) ==
              IFD_COMMUNICATION_ERROR);
        CHECK(transmit(luns[i], 5) == IFD_COMMUNICATION_ERROR);
        CHECK(driver.close(luns[i]) == IFD_COMMUNICATION_ERROR);
    }
    CHECK(open_reader(0x00000001, socket_path) == IFD_COMMUNICATION_ERROR);
    CHECK(open_reader(0x00100000, socket_path) == IFD_COMMUNICATION_ERROR);
    CHECK(open_reader(0x000F0000, socket_path) == IFD_SUCCESS);
    CHECK(open_reader(0x000F0000, socket_path) == IFD_COMMUNICATION_ERROR);
    CHECK(driver.close(0x000F0000) == IFD_SUCCESS);
}

static void test_two_readers_know_nothing_of_each_other(void)
{
    struct fake_card other;
    open_with_card(GOOD);
    CHECK(open_reader(OTHER_LUN, other_socket_path) == IFD_SUCCESS);
    CHECK(!becomes(OTHER_LUN, IFD_ICC_PRESENT, 20));
    fake_card_insert(&other, other_socket_path, NEVER_ANSWERS);
    CHECK(becomes(OTHER_LUN, IFD_ICC_PRESENT, 1000));
    CHECK(transmit(OTHER_LUN, 5) == IFD_RESPONSE_TIMEOUT);
    CHECK(becomes(OTHER_LUN, IFD_ICC_NOT_PRESENT, 1000));
    CHECK(transmit(LUN, 5) == IFD_SUCCESS && card.connections == 1);
    CHECK(driver.close(OTHER_LUN) == IFD_SUCCESS);
    fake_card_eject(&other, false);
    close_with_card();
}

/* The polling function */

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

static int count_open_files(void)
{
    int count = 0;
    DIR *files = opendir("/proc/self/fd");
    CHECK(files != NULL);
    while (readdir(files) != NULL)
        count++;
    (void)closedir(files);
    return count;
}

#define TEST(function) {#function, function}
static const struct {
    const char *name;
    void (*run)(void);
} TESTS[] = {
    TEST(test_a_card_that_is_in_already_is_found_at_once),
    TEST(test_insertion_and_removal),
    TEST(test_apdus_of_every_size),
    TEST(test_the_longest_response),
    TEST(test_a_buffer_that_is_too_small_is_the_callers_mistake),
    TEST(test_frames_in_pieces),
    TEST(test_a_slow_greeting_is_a_greeting),
    TEST(test_no_card_without_a_valid_greeting),
    TEST(test_a_card_that_answers_wrongly_is_out),
    TEST(test_a_card_that_speaks_unasked_is_out),
    TEST(test_wait_extends_the_time_for_an_answer),
    TEST(test_a_card_that_was_replaced_is_seen_to_go_and_come),
    TEST(test_the_folder_may_come_later_and_go_and_come_again),
    TEST(test_a_folder_that_others_may_write_in_is_refused),
    TEST(test_the_pin_pad),
    TEST(test_no_pin_pad_where_the_greeting_offers_none),
    TEST(test_capabilities),
    TEST(test_names_that_are_no_reader),
    TEST(test_readers_that_are_not_open),
    TEST(test_two_readers_know_nothing_of_each_other),
    TEST(test_polling_returns_only_for_a_change_of_its_own_reader),
    TEST(test_polling_can_be_stopped),
    TEST(test_a_thread_that_watches_sees_every_change),
    TEST(test_closing_ends_a_question_at_once),
    TEST(test_a_thread_that_is_cancelled_does_not_keep_the_reader),
    TEST(test_a_card_that_goes_while_it_is_asked_kills_nobody),
    TEST(test_a_listener_whose_queue_is_full_does_not_hold_the_driver_up),
    TEST(test_nothing_is_inherited_by_a_program_that_pcscd_starts),
};

static void leave_nothing(void)
{
    (void)unlink(socket_path);
    (void)unlink(other_socket_path);
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    int files;
    CHECK(argc == 2);
    (void)alarm(120); /* a driver that hangs fails the test */
    for (int fd = 3; fd < 256; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* what we were given ourselves is no leak of the driver's */
    load_driver(argv[1]);
    (void)snprintf(folder, sizeof folder, "/tmp/sra-reader-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(socket_path, sizeof socket_path, "%s/0", folder);
    (void)snprintf(other_socket_path, sizeof other_socket_path, "%s/1", folder);

    CHECK(atexit(leave_nothing) == 0);

    files = count_open_files();
    for (size_t i = 0; i < sizeof TESTS / sizeof TESTS[0]; i++) {
        (void)printf("%s\n", TESTS[i].name);
        (void)fflush(stdout);
        TESTS[i].run();
        CHECK(count_open_files() == files); /* nothing leaks into pcscd, which runs for months */
    }
    (void)printf("%zu tests passed\n", sizeof TESTS / sizeof TESTS[0]);
    return 0;
}
