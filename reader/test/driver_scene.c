#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "driver_scene.h"

#include <dlfcn.h>

#include <poll.h>
#include <time.h>

struct driver driver;
char folder[64];
char socket_path[96];
char other_socket_path[96];
struct fake_card card;

long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ISO C has no cast from an object pointer to a function pointer. */
void find_function(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    memcpy(function, &found, sizeof found);
}

void load_driver(const char *path)
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

RESPONSECODE open_reader(DWORD lun, const char *path)
{
    char name[160];
    (void)snprintf(name, sizeof name, "/dev/null:%s", path);
    return driver.create(lun, name);
}

polling_function find_polling_function(DWORD lun)
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
bool becomes(DWORD lun, RESPONSECODE wanted, int limit_ms)
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

bool card_comes(void)
{
    return becomes(LUN, IFD_ICC_PRESENT, 2000);
}

bool card_goes(void)
{
    return becomes(LUN, IFD_ICC_NOT_PRESENT, 2000);
}

RESPONSECODE power(DWORD action)
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

unsigned char response[APDU_RESPONSE_MAX + 8];
DWORD response_length;

RESPONSECODE transmit(DWORD lun, size_t length)
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

void open_with_card(enum behaviour behaviour)
{
    fake_card_insert(&card, socket_path, behaviour);
    CHECK(open_reader(LUN, socket_path) == IFD_SUCCESS);
    CHECK(card_comes());
}

void close_with_card(void)
{
    CHECK(driver.close(LUN) == IFD_SUCCESS);
    fake_card_eject(&card, false);
}

/* A good card must work, whatever happened before. */
void a_good_card_works_next(void)
{
    fake_card_insert(&card, socket_path, GOOD);
    CHECK(card_comes());
    CHECK(power(IFD_POWER_UP) == IFD_SUCCESS);
    CHECK(transmit(LUN, 5) == IFD_SUCCESS && response_length == 7);
    close_with_card();
}
