"""Certificates for the tests: observers of a punchcloud installation, and a whole authority for the Python cloud.

A folder holds ca.crt, ca.key and, for a whole authority, broker.{crt,key} and cloud.{crt,key}, as punchcloud's does.
"""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SINCE, UNTIL = datetime.datetime(1970, 1, 2), datetime.datetime(2049, 1, 1)


def _name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def _san(names):
    out = []
    for n in names:
        try:
            out.append(x509.IPAddress(ipaddress.ip_address(n)))
        except ValueError:
            out.append(x509.DNSName(n))
    return x509.SubjectAlternativeName(out)


def _write(path, data, mode=0o644):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
        f.write(data)


def write_key(path, key):
    _write(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                   serialization.NoEncryption()), 0o600)


def sign_certificate(pki, cn, public_key, names=()):
    """PEM of a certificate by pki's authority; a server's when it has names, else a client's."""
    with open(os.path.join(pki, "ca.key"), "rb") as f:
        ca_key = serialization.load_pem_private_key(f.read(), None)
    with open(os.path.join(pki, "ca.crt"), "rb") as f:
        ca = x509.load_pem_x509_certificate(f.read())
    use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    b = (x509.CertificateBuilder().subject_name(_name(cn)).issuer_name(ca.subject).public_key(public_key)
         .serial_number(x509.random_serial_number()).not_valid_before(SINCE).not_valid_after(UNTIL)
         .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
         .add_extension(x509.ExtendedKeyUsage([use]), critical=False))
    if names:
        b = b.add_extension(_san(names), critical=False)
    return b.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def issue(pki, cn, crt, key, names=()):
    """A new key and its certificate, into the files crt and key."""
    own = ec.generate_private_key(ec.SECP256R1())
    _write(crt, sign_certificate(pki, cn, own.public_key(), names))
    write_key(key, own)


def make_authority(pki, broker_names):
    """A certificate authority of our own with the broker's and the cloud's certificates."""
    os.makedirs(pki, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    ca = (x509.CertificateBuilder().subject_name(_name("Python CA")).issuer_name(_name("Python CA"))
          .public_key(key.public_key()).serial_number(x509.random_serial_number())
          .not_valid_before(SINCE).not_valid_after(UNTIL)
          .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
          .sign(key, hashes.SHA256()))
    _write(os.path.join(pki, "ca.crt"), ca.public_bytes(serialization.Encoding.PEM))
    write_key(os.path.join(pki, "ca.key"), key)
    issue(pki, "broker", os.path.join(pki, "broker.crt"), os.path.join(pki, "broker.key"), broker_names)
    issue(pki, "punchcloud", os.path.join(pki, "cloud.crt"), os.path.join(pki, "cloud.key"))
    crl = (x509.CertificateRevocationListBuilder().issuer_name(_name("Python CA")).last_update(SINCE)
           .next_update(UNTIL).sign(key, hashes.SHA256()))
    _write(os.path.join(pki, "ca.crl"), crl.public_bytes(serialization.Encoding.PEM))
