"""Where another program judges a case of the corpus otherwise than srad, and why. Every other case it judges alike."""

USES = "it is not asked what the certificate is for"
SHORT = "it has no such limit"
ONE_PATH = "it follows one path, and looks for no second one"
OLD_NEWS = "it drops a list that is out of its time, with what that revokes"
UNUSED = "it drops a list that it can't use, with what that revokes"
ONE_LIST = "it takes one list for each certificate, and looks into no other"
NO_DELTA = "it looks for deltas only where a certificate or its list says that there are some"
STALE_DELTA = "it takes a hold back by a delta that is stale"
AS_WRITTEN = "RFC 5280 lets a delta take back every revocation; here only a hold"
OWN_LISTER = "it demands a list about the certificate for lists, by another key than its own"
ANCHOR = "of an anchor it takes the name and the key alone"
NO_FORM = "it does not know names of this form, and gives up"
ONE_HOLD = "it hears every list, and not which is the newer one"
NO_BASE = "it demands that the complete list itself be fresh"
NO_ENTRIES = "it does not look at an entry of another certificate"
GOOD_ENDS = "after a good answer it asks no further"
OUTSIDE = "it does not compare the algorithm that is signed with the one that is not"
UNUSED_ANSWER = "it drops an answer that it can't use, with what that revokes"
LENIENT = "it does not look at this"

OPENSSL: dict[str, str] = {
    "4.2.1.3 a card that may not sign": USES,
    "4.2.1.12 a card for servers": USES,
    "4.2.1.12 a card for code": USES,
    "4.2.1.12 a card for mail": USES,
    "4.2.1.12 a card for OCSP": USES,
    "4.2.1.12 a card for card authentication": USES,
    "6.1 more authorities than anybody has": SHORT,
    "6.1 a cross-certificate that may not issue, and one that may": ONE_PATH,
    "6.1 one of two certificates of an authority was revoked": ONE_PATH,
    "6.3.3 revoked by a stale list, beside a fresh one that does not": OLD_NEWS,
    "6.3.3 revoked by a list of the future, beside a fresh one": OLD_NEWS,
    "6.3.3 (f) the key for lists, by the authority itself": OWN_LISTER,
    "6.3.3 (f) a re-keyed authority: revoked by the new key's list": ONE_LIST,
    "5.2 revoked by a list with an unknown critical extension": UNUSED,
    "5.2.5 revoked by a list that is not for cards": UNUSED,
    "5.2.5 revoked by the list of another point": UNUSED,
    "5.3.1 a revocation that a delta takes back": AS_WRITTEN,
    "5.2.4 a hold, taken back by a delta that is stale": STALE_DELTA,
    "5.2.4 an authority that a delta revokes": NO_DELTA,
    "5.3.3 revoked by the same, beside the issuer's own list": ONE_LIST,
    "5.3.3 revoked by the root's list, that is indirect": ONE_LIST,
}
"""``openssl verify`` with extended lists, deltas and policies."""

LIBRARY: dict[str, str] = {
    "4.1.1.2 another signature algorithm within than without": OUTSIDE,
    "6.1.3 (a)(2) a root that is expired": ANCHOR,
    "6.1.3 (a)(2) a root that is not yet valid": ANCHOR,
    "6.1 a root that may not sign certificates": ANCHOR,
    "6.1.1 a root that limits itself": ANCHOR,
    "6.1.1 a root that limits the names below it": ANCHOR,
    "4.2.1.3 a card that may not sign": USES,
    "4.2.1.12 a card for servers": USES,
    "4.2.1.12 a card for code": USES,
    "4.2.1.12 a card for mail": USES,
    "4.2.1.12 a card for OCSP": USES,
    "4.2.1.12 a card for card authentication": USES,
    "6.1 more authorities than anybody has": SHORT,
    "6.3.3 revoked by a stale list, beside a fresh one that does not": OLD_NEWS,
    "6.3.3 revoked by a list of the future, beside a fresh one": OLD_NEWS,
    "5.2.4 revoked by a stale delta": OLD_NEWS,
    "5.3.1 a hold that a newer list has taken back": ONE_HOLD,
    "5.3 an entry with an unknown critical extension": NO_ENTRIES,
    "5.2 revoked by a list with an unknown critical extension": UNUSED,
    "5.2.5 revoked by a list that is not for cards": UNUSED,
    "5.2.5 revoked by the list of another point": UNUSED,
    "5.3.3 revoked by the root's list, that is indirect": UNUSED,
    "5.2.4 revoked only by a delta": NO_DELTA,
    "5.2.4 on hold only by a delta": NO_DELTA,
    "5.3.1 a hold that a delta takes back": NO_DELTA,
    "5.2.4 an authority that a delta revokes": NO_DELTA,
    "5.2.4 a stale list, and a delta that makes it fresh": NO_BASE,
    "RFC 6960 the issuer says revoked, an empty list does not": GOOD_ENDS,
    "RFC 6960 a good answer and a list that revokes": GOOD_ENDS,
    "RFC 6960 revoked without nocheck, an empty list does not": UNUSED_ANSWER,
    "RFC 6960 a stale answer that says revoked, and an empty list": UNUSED_ANSWER,
    "RFC 6960 an answer of the future that says revoked, and an empty list": UNUSED_ANSWER,
    "RFC 6960 the same that says revoked, and an empty list": UNUSED_ANSWER,
    "RFC 6960 revoked by a responder that has expired": UNUSED_ANSWER,
    "RFC 6960 revoked by a responder that is not yet valid": UNUSED_ANSWER,
    "RFC 6960 an answer with an unknown critical extension": LENIENT,
    "RFC 6960, 4.2.2.2 a responder with a key that may not sign": LENIENT,
}
"""``pyhanko_certvalidator`` in its mode ``require``, with the lists and answers given to it."""

LOGIN_ONE_PATH = "it follows one path; sra doctor: “has several certificates”"
LOGIN_KEY = "it takes a list only by the key that signed the card; sra doctor: “signed by another of its keys”"
LOGIN_PART = "it is not given lists for some reasons only; sra doctor: “for some reasons only or indirect”"
LOGIN_DELTA = "it is not given deltas; sra doctor: “does not read the delta revocation list”"
LOGIN_INDIRECT = "it is not given indirect lists; sra doctor: “for some reasons only or indirect”"

SSSD: dict[str, str] = {
    "6.1 a cross-certificate that may not issue, and one that may": LOGIN_ONE_PATH,
    "6.1 one of two certificates of an authority was revoked": LOGIN_ONE_PATH,
    "6.3.3 (f) a list by the authority's key for lists": LOGIN_KEY,
    "6.3.3 (f) the key for lists, by the authority itself": LOGIN_KEY,
    "6.3.3 (f) a re-keyed authority: the old key's card, the new key's list": LOGIN_KEY,
    "6.3.3 (f) one key that issues, one that lists": LOGIN_KEY,
    "5.2.5 lists for all reasons together": LOGIN_PART,
    "4.2.1.13 two points, each for some reasons": LOGIN_PART,
    "5.3.1 a hold that a delta takes back": LOGIN_DELTA,
    "5.2.4 a stale list, and a delta that makes it fresh": LOGIN_DELTA,
    "5.2.5 an indirect list": LOGIN_INDIRECT,
    "5.3.3 another issuer's certificate of the same number": LOGIN_INDIRECT,
    "5.3.3 a certificate of the list's issuer of the same number": LOGIN_INDIRECT,
}
"""SSSD's p11_child with what the map maker hands it: cards that it refuses and srad lets in."""

PAM_PKCS11: dict[str, str] = {
    name: why for name, why in SSSD.items() if name != "6.1 one of two certificates of an authority was revoked"
}
"""The same of pam_pkcs11, which looks into no authority's list but the card's own."""
