"""A Redis server that speaks TLS, with a certificate of its own."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import Process, free_port


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) in PEM: self-signed, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    public = key.public_key()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "redis.crt", folder / "redis.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


@contextmanager
def running_tls_redis(program: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Runs `program`, a redis-server, until the block ends. Yields its port and its certificate."""
    certificate, private = write_certificate(folder)
    port = free_port()
    process = Process(
        program, "--bind", "127.0.0.1", "--port", "0", "--tls-port", str(port), "--save", "",
        "--dir", str(folder), "--tls-cert-file", str(certificate), "--tls-key-file", str(private),
        "--tls-auth-clients", "no", env={}, is_python=False,
    )  # fmt: skip
    try:
        process.said("Ready to accept connections")
        yield port, certificate
    finally:
        process.stop()
