"""Where mail arrives: the SMTP server of the tests, which speaks TLS with the installation's own certificate."""
import json
import re

from lab import PATIENCE, SIM
from proc import wait_for


class Mailbox:
    """The SMTP server of the tests, and what came."""

    def __init__(self, lab, name="smtpd"):
        self.log = lab.path(f"{name}.jsonl")
        argv = ["/usr/bin/python3", f"{SIM}/smtpd.py", "--mode", "starttls", "--log", self.log, "--cert",
                f"{lab.cloud.pki}/api.crt", "--key", f"{lab.cloud.pki}/api.key"]
        self.proc = lab.proc(name, argv, commands=True, errors=lab.path("logs", f"{name}.errors"))
        self.proc.start()
        self.port = int(wait_for("the SMTP server", self.proc.log_text, 20 * PATIENCE))

    def messages(self):
        try:
            with open(self.log, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [m for m in lines if m["what"] == "data"]

    def ids(self, to):
        return {m["headers"]["Message-ID"] for m in self.messages() if m["to"] == [to]}

    def link(self, to, kind):
        """The last one that came."""
        wait_for(f"a mail to {to}", lambda: any(m["to"] == [to] and f"#{kind}=" in m["text"] for m in self.messages()),
                 60 * PATIENCE)
        found = [m["text"] for m in self.messages() if m["to"] == [to] and f"#{kind}=" in m["text"]]
        return re.search(rf"#{kind}=([A-Za-z0-9_-]+)", found[-1]).group(1)
