/*
 * The driver of the virtual reader: the entry points that pcscd calls (PC/SC IFD handler, version 3.0).
 *
 * Each takes its reader out of one table, and leaves the rest to link.c.
 */
#include "frame.h"
#include "link.h"
#include "log.h"

#include <ifdhandler.h>
#include <reader.h>

#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* As many as pcscd has room for: PCSCLITE_MAX_READERS_CONTEXTS, which its public headers don't all carry. */
#define READERS_MAX 16

/* This driver's own control codes. PC/SC leaves their choice to it and gives vendors the functions from 2048 on. */
#define CONTROL_VERIFY_PIN SCARD_CTL_CODE(3500 + FEATURE_VERIFY_PIN_DIRECT)
#define CONTROL_PIN_PROPERTIES SCARD_CTL_CODE(3500 + FEATURE_IFD_PIN_PROPERTIES)

/* PC/SC part 10, table 2.6: entry is complete when the person says so; no display, the timeout is as asked. */
#define ENTRY_ENDS_WITH_OK_KEY 0x02

/* The pseudo-APDU of PC/SC part 10, section 2.6, with a short Lc. */
#define PIN_COMMAND_HEADER_SIZE 5U
#define PIN_STRUCTURE_MAX 255U

/* The only global state. A static table needs no allocation that could fail or leak inside pcscd. */
static struct link readers[READERS_MAX];
static pthread_once_t readers_once = PTHREAD_ONCE_INIT;

static void init_readers(void)
{
    for (size_t i = 0; i < READERS_MAX; i++)
        link_init(&readers[i]);
}

/* The upper half of a Lun is the reader, the lower half the slot, of which there is one. NULL for any other. */
static struct link *find_reader(DWORD lun)
{
    DWORD number = lun >> 16;
    (void)pthread_once(&readers_once, init_readers);
    return number < READERS_MAX && (lun & 0xFFFFU) == 0 ? &readers[number] : NULL;
}

static struct link *find_open_reader(DWORD lun)
{
    struct link *reader = find_reader(lun);
    return reader != NULL && link_is_open(reader) ? reader : NULL;
}

static RESPONSECODE as_response_code(enum link_result result)
{
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    switch (result) {
    case LINK_OK:
        code = IFD_SUCCESS;
        break;
    case LINK_NO_CARD:
        code = IFD_ICC_NOT_PRESENT;
        break;
    case LINK_TIMED_OUT:
        code = IFD_RESPONSE_TIMEOUT;
        break;
    case LINK_TOO_LONG:
        code = IFD_ERROR_INSUFFICIENT_BUFFER;
        break;
    case LINK_BROKEN:
        break;
    }
    return code;
}

/* Opening and closing */

EXPORT RESPONSECODE IFDHCreateChannelByName(DWORD Lun, LPSTR DeviceName)
{
    struct link *reader = find_reader(Lun);
    /* pcscd wants a file that exists before the colon: /dev/null. The socket, which comes and goes, is after it. */
    const char *colon = DeviceName != NULL ? strchr(DeviceName, ':') : NULL;
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;

    if (reader != NULL && colon != NULL && link_open(reader, colon + 1))
        code = IFD_SUCCESS;
    else
        log_error("DEVICENAME must be /dev/null, a colon and the absolute path of a socket that no other reader has");
    return code;
}

EXPORT RESPONSECODE IFDHCreateChannel(DWORD Lun, DWORD Channel)
{
    (void)Lun;
    (void)Channel;
    log_error("the reader needs a DEVICENAME in its configuration");
    return IFD_COMMUNICATION_ERROR;
}

EXPORT RESPONSECODE IFDHCloseChannel(DWORD Lun)
{
    struct link *reader = find_reader(Lun);
    return reader != NULL && link_close(reader) ? IFD_SUCCESS : IFD_COMMUNICATION_ERROR;
}

/* Capabilities */

static RESPONSECODE give(const void *value, size_t length, PDWORD room, PUCHAR to)
{
    RESPONSECODE code = IFD_ERROR_INSUFFICIENT_BUFFER;
    if (to != NULL && *room >= length) {
        memcpy(to, value, length);
        *room = (DWORD)length;
        code = IFD_SUCCESS;
    }
    return code;
}

static RESPONSECODE give_byte(unsigned char value, PDWORD room, PUCHAR to)
{
    return give(&value, sizeof value, room, to);
}

static RESPONSECODE give_atr(struct link *reader, PDWORD room, PUCHAR to)
{
    struct greeting card;
    RESPONSECODE code = IFD_ICC_NOT_PRESENT;
    if (link_read_card(reader, &card))
        code = give(card.atr, card.atr_length, room, to);
    return code;
}

#ifndef SRA_PLAIN_PRESENCE

static RESPONSECODE wait_for_card_event(DWORD lun, int timeout_ms)
{
    struct link *reader = find_open_reader(lun);
    if (reader != NULL)
        link_wait_for_change(reader, timeout_ms);
    /* Anything but success makes pcscd sleep for 400 ms, which is right for a reader that isn't there. */
    return reader != NULL ? IFD_SUCCESS : IFD_NO_SUCH_DEVICE;
}

static RESPONSECODE stop_waiting(DWORD lun)
{
    struct link *reader = find_reader(lun);
    if (reader != NULL)
        link_stop_waiting(reader);
    return reader != NULL ? IFD_SUCCESS : IFD_NO_SUCH_DEVICE;
}

static RESPONSECODE give_polling_function(PDWORD room, PUCHAR to)
{
    RESPONSECODE (*function)(DWORD, int) = wait_for_card_event;
    return give(&function, sizeof function, room, to);
}

static RESPONSECODE give_stopping_function(PDWORD room, PUCHAR to)
{
    RESPONSECODE (*function)(DWORD) = stop_waiting;
    return give(&function, sizeof function, room, to);
}

#endif

static RESPONSECODE give_capability(struct link *reader, DWORD tag, PDWORD room, PUCHAR to)
{
    RESPONSECODE code = IFD_ERROR_TAG;
    switch (tag) {
    case TAG_IFD_ATR:
    case SCARD_ATTR_ATR_STRING:
        code = give_atr(reader, room, to);
        break;
    case TAG_IFD_SLOTS_NUMBER:
        code = give_byte(1, room, to);
        break;
    case TAG_IFD_SIMULTANEOUS_ACCESS:
        code = give_byte(READERS_MAX, room, to);
        break;
    case TAG_IFD_THREAD_SAFE: /* readers share nothing: a card that is slow doesn't hold up another */
        code = give_byte(1, room, to);
        break;
#ifndef SRA_PLAIN_PRESENCE
    case TAG_IFD_POLLING_THREAD_WITH_TIMEOUT:
        code = give_polling_function(room, to);
        break;
    case TAG_IFD_POLLING_THREAD_KILLABLE: /* how pcscd ends the thread */
        code = give_byte(1, room, to);
        break;
    case TAG_IFD_STOP_POLLING_THREAD: /* how it shortens a wait when the last program leaves the card, to power it down */
        code = give_stopping_function(room, to);
        break;
#endif
    default:
        break;
    }
    return code;
}

EXPORT RESPONSECODE IFDHGetCapabilities(DWORD Lun, DWORD Tag, PDWORD Length, PUCHAR Value)
{
    struct link *reader = find_open_reader(Lun);
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    if (reader != NULL && Length != NULL)
        code = give_capability(reader, Tag, Length, Value);
    return code;
}

EXPORT RESPONSECODE IFDHSetCapabilities(DWORD Lun, DWORD Tag, DWORD Length, PUCHAR Value)
{
    (void)Tag;
    (void)Length;
    (void)Value;
    return find_open_reader(Lun) != NULL ? IFD_ERROR_TAG : IFD_COMMUNICATION_ERROR;
}

EXPORT RESPONSECODE IFDHSetProtocolParameters(DWORD Lun, DWORD Protocol, UCHAR Flags, UCHAR PTS1, UCHAR PTS2,
                                              UCHAR PTS3)
{
    RESPONSECODE code = IFD_PROTOCOL_NOT_SUPPORTED;
    (void)Flags; /* there is no line whose speed could be negotiated */
    (void)PTS1;
    (void)PTS2;
    (void)PTS3;
    if (find_open_reader(Lun) == NULL)
        code = IFD_COMMUNICATION_ERROR;
    else if (Protocol == SCARD_PROTOCOL_T1)
        code = IFD_SUCCESS;
    return code;
}

/* The card */

EXPORT RESPONSECODE IFDHICCPresence(DWORD Lun)
{
    struct link *reader = find_open_reader(Lun);
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    if (reader != NULL)
        code = link_is_present(reader) ? IFD_ICC_PRESENT : IFD_ICC_NOT_PRESENT;
    return code;
}

/* A card that is gone has no power: nothing is left to do. */
static RESPONSECODE power_down(struct link *reader)
{
    size_t nothing = 0;
    enum link_result result = link_ask(reader, FRAME_POWER_OFF, NULL, 0, NULL, &nothing);
    return result == LINK_OK || result == LINK_NO_CARD ? IFD_SUCCESS : IFD_ERROR_POWER_ACTION;
}

static RESPONSECODE power_up(struct link *reader, PUCHAR atr, PDWORD atr_length)
{
    size_t nothing = 0;
    RESPONSECODE code = IFD_ERROR_POWER_ACTION;
    if (link_ask(reader, FRAME_POWER_ON, NULL, 0, NULL, &nothing) == LINK_OK &&
        give_atr(reader, atr_length, atr) == IFD_SUCCESS)
        code = IFD_SUCCESS;
    return code;
}

EXPORT RESPONSECODE IFDHPowerICC(DWORD Lun, DWORD Action, PUCHAR Atr, PDWORD AtrLength)
{
    struct link *reader = find_open_reader(Lun);
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    DWORD room = MAX_ATR_SIZE; /* the size of Atr: AtrLength is only set */

    if (reader != NULL && Atr != NULL && AtrLength != NULL) {
        *AtrLength = 0;
        if (Action == IFD_POWER_DOWN)
            code = power_down(reader);
        else if (Action == IFD_POWER_UP || Action == IFD_RESET)
            code = power_up(reader, Atr, &room);
        else
            code = IFD_NOT_SUPPORTED;
        if (code == IFD_SUCCESS && Action != IFD_POWER_DOWN)
            *AtrLength = room;
    }
    return code;
}

static bool is_command(const unsigned char *command, size_t length)
{
    return command != NULL && length >= APDU_COMMAND_MIN && length <= APDU_COMMAND_MAX;
}

EXPORT RESPONSECODE IFDHTransmitToICC(DWORD Lun, SCARD_IO_HEADER SendPci, PUCHAR TxBuffer, DWORD TxLength,
                                      PUCHAR RxBuffer, PDWORD RxLength, PSCARD_IO_HEADER RecvPci)
{
    struct link *reader = find_open_reader(Lun);
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    size_t answer = RxBuffer != NULL && RxLength != NULL ? *RxLength : 0;

    (void)SendPci;
    /* What no card would understand as a command is not sent: it's the caller's mistake, and the card stays in. */
    if (reader != NULL && is_command(TxBuffer, TxLength))
        code = as_response_code(link_ask(reader, FRAME_APDU, TxBuffer, TxLength, RxBuffer, &answer));
    if (RxLength != NULL)
        *RxLength = (DWORD)(code == IFD_SUCCESS ? answer : 0);
    if (RecvPci != NULL)
        RecvPci->Protocol = 1; /* T=1: whole APDUs, and WAIT is its waiting time extension */
    return code;
}

/* The PIN pad */

static unsigned char *put_feature(unsigned char *to, unsigned char feature, DWORD control_code)
{
    /* A PCSC_TLV_STRUCTURE: tag, length, and the control code in big-endian order. */
    *to++ = feature;
    *to++ = 4;
    *to++ = (unsigned char)(control_code >> 24 & 0xFFU);
    *to++ = (unsigned char)(control_code >> 16 & 0xFFU);
    *to++ = (unsigned char)(control_code >> 8 & 0xFFU);
    *to++ = (unsigned char)(control_code & 0xFFU);
    return to;
}

static RESPONSECODE list_features(bool pin_pad, PUCHAR to, PDWORD room)
{
    unsigned char features[2 * sizeof(PCSC_TLV_STRUCTURE)];
    unsigned char *end = features;
    if (pin_pad) {
        end = put_feature(end, FEATURE_VERIFY_PIN_DIRECT, CONTROL_VERIFY_PIN);
        end = put_feature(end, FEATURE_IFD_PIN_PROPERTIES, CONTROL_PIN_PROPERTIES);
    }
    return give(features, (size_t)(end - features), room, to);
}

static RESPONSECODE give_pin_properties(PUCHAR to, PDWORD room)
{
    PIN_PROPERTIES_STRUCTURE properties = {0};
    properties.bEntryValidationCondition = ENTRY_ENDS_WITH_OK_KEY;
    return give(&properties, sizeof properties, room, to);
}

static RESPONSECODE verify_pin(struct link *reader, const unsigned char *structure, size_t length, PUCHAR to,
                               PDWORD room)
{
    unsigned char command[PIN_COMMAND_HEADER_SIZE + PIN_STRUCTURE_MAX] = {0xFF, 0xC2, 0x01, FEATURE_VERIFY_PIN_DIRECT};
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    size_t answer = to != NULL ? *room : 0;

    /* The structure's fixed part at least. A longer one than a short Lc can say holds no PIN VERIFY of any card. */
    if (structure != NULL && length >= sizeof(PIN_VERIFY_STRUCTURE) && length <= PIN_STRUCTURE_MAX) {
        command[4] = (unsigned char)length;
        memcpy(command + PIN_COMMAND_HEADER_SIZE, structure, length);
        code = as_response_code(link_ask(reader, FRAME_APDU, command, PIN_COMMAND_HEADER_SIZE + length, to, &answer));
    }
    *room = (DWORD)answer;
    return code;
}

static RESPONSECODE control(struct link *reader, DWORD control_code, const unsigned char *from, size_t length,
                            PUCHAR to, PDWORD room)
{
    struct greeting card;
    RESPONSECODE code = IFD_ERROR_NOT_SUPPORTED;

    (void)link_read_card(reader, &card); /* an empty reader is what it was with its last card: see link_open() */
    if (control_code == CM_IOCTL_GET_FEATURE_REQUEST)
        code = list_features(card.pin_pad, to, room);
    else if (control_code == CONTROL_PIN_PROPERTIES && card.pin_pad)
        code = give_pin_properties(to, room);
    else if (control_code == CONTROL_VERIFY_PIN && card.pin_pad)
        code = verify_pin(reader, from, length, to, room);
    return code;
}

EXPORT RESPONSECODE IFDHControl(DWORD Lun, DWORD dwControlCode, PUCHAR TxBuffer, DWORD TxLength, PUCHAR RxBuffer,
                                DWORD RxLength, LPDWORD pdwBytesReturned)
{
    struct link *reader = find_open_reader(Lun);
    RESPONSECODE code = IFD_COMMUNICATION_ERROR;
    DWORD room = RxLength;

    if (reader != NULL && pdwBytesReturned != NULL) {
        code = control(reader, dwControlCode, TxBuffer, TxLength, RxBuffer, &room);
        /* Zero on error: pcscd logs that many bytes of the buffer. */
        *pdwBytesReturned = code == IFD_SUCCESS ? room : 0;
    }
    return code;
}
