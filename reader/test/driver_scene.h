/* What the tests of the driver are made of: the driver itself, a fake card, and the steps that pcscd takes. */
#ifndef SRA_TEST_DRIVER_SCENE_H
#define SRA_TEST_DRIVER_SCENE_H

#include "../frame.h"
#include "../link_time.h"
#include "fake_card.h"

#include <ifdhandler.h>
#include <reader.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct driver {
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
};

extern struct driver driver;

extern char folder[64];
extern char socket_path[96];
extern char other_socket_path[96];
extern struct fake_card card;
extern unsigned char response[APDU_RESPONSE_MAX + 8];
extern DWORD response_length;

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(function) {#function, function}

/* The tests of each file; the last one has no name. */
extern const struct test card_tests[];
extern const struct test interface_tests[];
extern const struct test polling_tests[];

long now_ms(void);
void find_function(void *library, const char *name, void *function);
void load_driver(const char *path);
RESPONSECODE open_reader(DWORD lun, const char *path);
polling_function find_polling_function(DWORD lun);
bool becomes(DWORD lun, RESPONSECODE wanted, int limit_ms);
bool card_comes(void);
bool card_goes(void);
RESPONSECODE power(DWORD action);
RESPONSECODE transmit(DWORD lun, size_t length);
void open_with_card(enum behaviour behaviour);
void close_with_card(void);
void a_good_card_works_next(void);

#endif
