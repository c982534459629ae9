"""The certificates and keys of one control plane, made fresh at each start and thrown away with it."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_LIFETIME = dt.timedelta(days=30)  # longer than any run; nothing renews them
_CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files (the key readable by the owner only)."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that exists for one run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control plane for tests")])
        builder = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            # Python 3.13 verifies strictly: a CA must say that it may sign.
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.certificate = directory / "ca.crt"
        signed = builder.sign(self._key, hashes.SHA256())
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *, dns: list[str], addresses: list[str]) -> Pair:
        """Issue a certificate for a server that answers under these names and IP addresses."""
        names: list[x509.GeneralName] = [x509.DNSName(entry) for entry in dns]
        names += [x509.IPAddress(ipaddress.ip_address(entry)) for entry in addresses]
        return self._issue(
            name,
            subject=[x509.NameAttribute(NameOID.COMMON_NAME, name)],
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            alternative=x509.SubjectAlternativeName(names),
        )

    def client(self, name: str, *, user: str, group: str | None = None) -> Pair:
        """Issue a certificate that kube-apiserver takes for this user, in this group."""
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group is not None:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        return self._issue(name, subject=subject, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self,
        name: str,
        *,
        subject: list[x509.NameAttribute[str]],
        usage: x509.ObjectIdentifier,
        alternative: x509.SubjectAlternativeName | None = None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _certificate(x509.Name(subject), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(authority, critical=False)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, critical=False)
        certificate = self._directory / f"{name}.crt"
        signed = builder.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return Pair(certificate=certificate, key=_write_key(key, self._directory / f"{name}.key"))


def signing_key(path: Path) -> Path:
    """Write a new private key for signing ServiceAccount tokens."""
    return _write_key(ec.generate_private_key(ec.SECP256R1()), path)


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return path
