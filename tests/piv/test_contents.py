"""What of a card is inserted, and what never is."""

from __future__ import annotations

import pytest

from sra.piv import objects
from sra.piv.contents import contents_to_insert
from sra.piv.keys import Algorithm, KeyDescription, PinPolicy, Slot
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory, build_certificate

GUID = b"g" * 16
OTHER_GUID = b"o" * 16
SLOTS = (Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_3)
PRIVATE_OBJECTS = {
    0x5FC103: b"fingerprints",
    0x5FC106: b"security object",
    0x5FC108: b"facial image",
    0x5FC109: b"printed information",
    0x5FC121: b"iris",
    0x7F61: b"biometric groups",
    0x5FFF00: b"a maker's own",
}


def key(slot: Slot) -> KeyDescription:
    return KeyDescription(slot=slot, algorithm=Algorithm.P256, pin_policy=PinPolicy.ONCE)


CARD = CardContents(
    objects={
        objects.CHUID: objects.build_chuid(GUID),
        objects.CARD_CAPABILITY_CONTAINER: b"capabilities",
        objects.KEY_HISTORY: objects.build_key_history(KeyHistory(5, 2, "http://keys.example")),
        objects.DISCOVERY: bytes.fromhex("4F0BA0000003080000100001005F2F026010"),
    }
    | {CERTIFICATES[slot]: build_certificate(slot.name.encode()) for slot in SLOTS}
    | PRIVATE_OBJECTS,
    keys=tuple(key(slot) for slot in SLOTS),
)


def history(contents: CardContents) -> KeyHistory:
    return objects.parse_key_history(contents.objects[objects.KEY_HISTORY])


def test_only_the_chosen_slots_are_inserted() -> None:
    inserted = contents_to_insert(CARD, {Slot.AUTHENTICATION}, OTHER_GUID)
    assert [description.slot for description in inserted.keys] == [Slot.AUTHENTICATION]
    assert inserted.objects.keys() == {
        objects.CHUID,
        objects.CARD_CAPABILITY_CONTAINER,
        objects.DISCOVERY,
        CERTIFICATES[Slot.AUTHENTICATION],
    }


def test_biometrics_printed_information_and_the_unknown_are_never_inserted() -> None:
    assert not contents_to_insert(CARD, set(Slot), OTHER_GUID).objects.keys() & PRIVATE_OBJECTS.keys()


def test_the_card_keeps_its_guid_and_certificates() -> None:
    inserted = contents_to_insert(CARD, set(Slot), OTHER_GUID)
    assert inserted.objects[objects.CHUID] == CARD.objects[objects.CHUID]
    assert all(inserted.objects[CERTIFICATES[slot]] == CARD.objects[CERTIFICATES[slot]] for slot in SLOTS)
    assert inserted.keys == CARD.keys


@pytest.mark.parametrize("chuid", [b"", b"\x34\x10" + bytes(16), b"damaged"])
def test_a_card_without_a_guid_gets_one(chuid: bytes) -> None:
    card = CardContents(objects=CARD.objects | {objects.CHUID: chuid}, keys=CARD.keys)
    assert objects.guid_of(contents_to_insert(card, SLOTS, OTHER_GUID).objects[objects.CHUID]) == OTHER_GUID


def test_a_card_without_capabilities_gets_some() -> None:
    card = CardContents(objects={objects.CHUID: CARD.objects[objects.CHUID]}, keys=())
    built = contents_to_insert(card, SLOTS, OTHER_GUID).objects[objects.CARD_CAPABILITY_CONTAINER]
    assert built == objects.build_card_capability_container(GUID)


def test_the_key_history_reaches_the_last_retired_key() -> None:
    assert history(contents_to_insert(CARD, SLOTS, GUID)) == KeyHistory(3)
    assert history(contents_to_insert(CARD, {Slot.RETIRED_1}, GUID)) == KeyHistory(1)


def test_discovery_offers_the_application_pin_only() -> None:
    assert contents_to_insert(CARD, SLOTS, GUID).objects[objects.DISCOVERY] == objects.build_discovery()


@pytest.mark.parametrize("container", [None, b"", b"\x70\x00\x71\x01\x00\xfe\x00", b"damaged"])
def test_a_key_without_a_readable_certificate_is_not_inserted(container: bytes | None) -> None:
    tag = CERTIFICATES[Slot.AUTHENTICATION]
    found = {other: value for other, value in CARD.objects.items() if other != tag}
    card = CardContents(objects=found if container is None else found | {tag: container}, keys=CARD.keys)
    inserted = contents_to_insert(card, SLOTS, GUID)
    assert Slot.AUTHENTICATION not in [description.slot for description in inserted.keys]
    assert tag not in inserted.objects


def test_a_certificate_without_a_key_is_not_inserted() -> None:
    card = CardContents(objects=CARD.objects, keys=(key(Slot.SIGNATURE),))
    assert CERTIFICATES[Slot.AUTHENTICATION] not in contents_to_insert(card, SLOTS, GUID).objects
