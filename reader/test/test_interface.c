/* What pcscd and programs learn and ask of a reader: its PIN pad, its capabilities, its names. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "driver_scene.h"


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

const struct test interface_tests[] = {
    TEST(test_the_pin_pad),
    TEST(test_no_pin_pad_where_the_greeting_offers_none),
    TEST(test_capabilities),
    TEST(test_names_that_are_no_reader),
    TEST(test_readers_that_are_not_open),
    TEST(test_two_readers_know_nothing_of_each_other),
    {NULL, NULL},
};
