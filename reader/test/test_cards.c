/* Cards that come, go and answer, rightly and wrongly. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "driver_scene.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

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

const struct test card_tests[] = {
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
    {NULL, NULL},
};
