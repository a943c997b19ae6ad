"""A real directory (slapd) on a host, with the attributes that Active Directory has for smart cards."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.hosts import Host
from lab.processes import LabError, Process, wait_until
from tests.remote.accounts.issuing import Authority

FOLDER = "/srv/directory"
BASE = "dc=example,dc=com"
READER = f"cn=srad,{BASE}"
READER_PASSWORD = "what srad says"
_ADMIN = f"cn=admin,{BASE}"
_ADMIN_PASSWORD = "what the administrator says"

_SETTINGS = f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.2.840.113556.1.4.867 NAME 'altSecurityIdentities'
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName'
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.32473.1 NAME 'cardHolder'
    SUP top AUXILIARY MAY ( altSecurityIdentities $ userPrincipalName ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {FOLDER}/pid
TLSCACertificateFile {FOLDER}/authority.pem
TLSCertificateFile {FOLDER}/server.pem
TLSCertificateKeyFile {FOLDER}/server.key
security tls=1
database mdb
suffix "{BASE}"
directory {FOLDER}/database
rootdn "{_ADMIN}"
rootpw "{_ADMIN_PASSWORD}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{READER}" read by * none
"""

_START = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {READER}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: srad
userPassword: {READER_PASSWORD}
"""


@dataclass
class DirectoryServer:
    """The directory on ``host``; its certificate comes from ``authority``."""

    host: Host
    authority: Authority
    process: Process | None = None

    def make(self) -> None:
        """Write its files, and what is in it at the beginning."""
        issued = self.authority.issue(names=[x509.DNSName(self.host.name)])
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.host.write(f"{FOLDER}/slapd.conf", _SETTINGS, 0o600)
        self.host.write(f"{FOLDER}/authority.pem", self.authority.own.pem.decode())
        self.host.write(f"{FOLDER}/server.pem", issued.pem.decode())
        self.host.write(
            f"{FOLDER}/server.key", issued.key.private_bytes(serialization.Encoding.PEM, *form).decode(), 0o600
        )
        self.host.run(["mkdir", f"{FOLDER}/database"])
        self.host.run(["slapadd", "-f", f"{FOLDER}/slapd.conf"], input=_START)

    def start(self) -> None:
        """Begin to answer, on both ports."""
        addresses = f"ldap://{self.host.name} ldaps://{self.host.name}"
        command = 'slapd -f "$1" -h "$2" -d stats & wait'
        self.process = self.host.start(["sh", "-c", command, "sh", f"{FOLDER}/slapd.conf", addresses])
        wait_until(self._answers, "the directory's first answer", 10)

    def stop(self) -> None:
        """Be gone, until the next start."""
        assert self.process is not None
        self.process.kill()

    def pause(self) -> None:
        """Take connections, but say nothing, until ``resume``."""
        self.host.run(["pkill", "-STOP", "-F", f"{FOLDER}/pid"])

    def resume(self) -> None:
        """Go on."""
        self.host.run(["pkill", "-CONT", "-F", f"{FOLDER}/pid"])

    def _answers(self) -> bool:
        assert self.process is not None
        if not self.process.is_running:
            raise LabError(f"the directory did not start:\n{self.process.output}")
        return self._as_admin(["ldapwhoami"], check=False) == 0

    def put(self, name: str, attributes: Mapping[str, Sequence[str | bytes]]) -> None:
        """Make or replace a person whose ``uid`` is ``name``; with no attributes, only remove."""
        self._as_admin(["ldapdelete", f"uid={name},{BASE}"], check=False)
        if not attributes:
            return
        listed: dict[str, Sequence[str | bytes]] = {
            "objectClass": ["inetOrgPerson", "cardHolder"], "cn": [name], "sn": [name], **attributes,
        }  # fmt: skip
        self._as_admin(["ldapadd"], ldif=f"dn: uid={name},{BASE}\n{_ldif(listed)}")

    def refer(self, name: str, url: str) -> None:
        """Say that what is below ``name`` is at another server."""
        entry = {"objectClass": ["referral", "extensibleObject"], "dc": [name], "ref": [url]}
        self._as_admin(["ldapadd", "-M"], ldif=f"dn: dc={name},{BASE}\n{_ldif(entry)}")

    def _as_admin(self, argv: list[str], *, ldif: str = "", check: bool = True) -> int:
        who = ["-ZZ", "-x", "-H", f"ldap://{self.host.name}", "-D", _ADMIN, "-w", _ADMIN_PASSWORD]
        trust = {"LDAPTLS_CACERT": f"{FOLDER}/authority.pem"}
        return self.host.run([argv[0], *who, *argv[1:]], input=ldif, env=trust, check=check).returncode


def _ldif(attributes: Mapping[str, Sequence[str | bytes]]) -> str:
    lines = []
    for name, values in attributes.items():
        for value in values:
            data = value if isinstance(value, bytes) else value.encode()
            lines.append(f"{name}:: {base64.b64encode(data).decode()}\n")
    return "".join(lines)
