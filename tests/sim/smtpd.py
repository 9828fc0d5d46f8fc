#!/usr/bin/python3
"""An SMTP server for the tests, on a loopback port of its own, which it prints.

What it hears goes into a log, a JSON object a line: "mail" when a sender is named, "data" with a whole message, as
Python's own parser reads it. gone@ is refused for good, later@ for now.
"""
import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import AuthResult, LoginPassword, SMTP


class Handler:
    def __init__(self, log):
        self.log = log

    def write(self, server, session, what, **more):
        tls = server.transport.get_extra_info("ssl_object") is not None
        line = {"what": what, "tls": tls, "login": bool(session.authenticated), **more}
        with open(self.log, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.write(server, session, "mail", sender=address, host=session.host_name)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            return "451 4.3.0 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.write(server, session, "data", to=envelope.rcpt_tos, headers={k: str(v) for k, v in message.items()},
                   text=message.get_content(), defects=[repr(d) for d in message.defects])
        return "250 taken"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mode", choices=("starttls", "tls", "clear"), default="starttls")
    p.add_argument("--cert")
    p.add_argument("--key")
    p.add_argument("--login", help="user:password, which it asks for")
    p.add_argument("--log", required=True)
    a = p.parse_args()
    context = None
    if a.mode != "clear":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(a.cert, a.key)
    handler = Handler(a.log)

    def authenticate(_server, _session, _envelope, _mechanism, data):
        given = f"{data.login.decode()}:{data.password.decode()}" if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == a.login, handled=False)

    def factory():
        starttls = context if a.mode == "starttls" else None
        return SMTP(handler, hostname="localhost", tls_context=starttls, require_starttls=starttls is not None,
                    authenticator=authenticate, auth_required=a.login is not None,
                    auth_require_tls=a.mode == "starttls")

    async def serve():
        loop, whole = asyncio.get_running_loop(), context if a.mode == "tls" else None
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=whole)
        port = server.sockets[0].getsockname()[1]
        await loop.create_server(factory, "127.0.0.2", port, ssl=whole)  # which is in no certificate
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)  # until the test closes it

    asyncio.run(serve())


if __name__ == "__main__":
    main()
