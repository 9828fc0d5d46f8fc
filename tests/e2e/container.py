"""A container booted with this machine's own systemd: its root folder is this machine's, with a layer above that takes
what is written and is gone afterwards. Nothing of this machine's own services is started in it.

Needs root, systemd-nspawn and overlayfs; Unavailable says what is missing.
"""
import os
import shutil
import signal
import subprocess
import time

from proc import Failure, check, wait_for

TARGET = """\
[Unit]
Description=What the test starts by itself
Requires=sysinit.target dbus.socket
After=sysinit.target dbus.socket
AllowIsolate=yes
"""


class Unavailable(Exception):
    """This machine cannot do it, and that is no failure."""


def run(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Container:
    def __init__(self, lab, name="box"):
        self.lab, self.name = lab, name
        self.layer, self.root = lab.path(name), lab.path(f"{name}-root")
        self.machine = f"punch-{os.getpid()}"
        self.proc = None
        for what, there in (("root", os.geteuid() == 0), ("systemd-nspawn (package systemd-container)",
                                                         shutil.which("systemd-nspawn")),
                            ("systemd (package systemd)", os.path.exists("/lib/systemd/systemd")),
                            ("nsenter", shutil.which("nsenter"))):
            if not there:
                raise Unavailable(f"it needs {what}")
        for folder in (self.layer, self.root):
            os.makedirs(folder)
        lab.on_close(self.close)
        self.mount("-t", "tmpfs", "-o", "size=512m,mode=755", "punch-test", self.layer)
        up, work = os.path.join(self.layer, "up"), os.path.join(self.layer, "work")
        os.makedirs(up, mode=0o755)
        os.makedirs(work)
        self.mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={up},workdir={work}", "punch-test", self.root)
        self.clean()

    def mount(self, *argv):
        r = run("mount", *argv)
        if r.returncode != 0:
            raise Unavailable(f"mount {' '.join(argv)}: {r.stderr.strip()}")

    def clean(self):
        """The machine's own services stay off, and its name and journal are not ours."""
        own = self.path("/etc/systemd/system")
        shutil.rmtree(own, ignore_errors=True)
        os.makedirs(own)
        self.write("/etc/systemd/system/default.target", TARGET)
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/machine-id", "")
        shutil.rmtree(self.path("/var/log/journal"), ignore_errors=True)

    def path(self, inside):
        return self.root + inside

    def write(self, inside, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(os.open(self.path(inside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)

    def boot(self, *binds, seconds=120):
        argv = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.machine}",
                "--private-network", "--register=no", "--keep-unit", "--link-journal=no",
                "--system-call-filter=adjtimex clock_adjtime"]  # to read; setting takes a capability
        self.proc = self.lab.proc("container", [*argv, *(f"--bind-ro={b}" for b in binds), "--boot"])
        self.proc.start()

        def up():
            if not self.proc.alive():
                text = self.proc.log_text().decode(errors="replace")
                raise Unavailable("systemd-nspawn: " + " / ".join(text.strip().splitlines()[-3:]))
            return self.leader() and self.run("systemctl", "is-active", "dbus.socket", expect=None).stdout == "active\n"
        try:
            wait_for("the container to boot", up, seconds, 0.2)
        except Failure:
            raise Unavailable(f"no systemd within {seconds:g} s: "
                              + self.proc.log_text().decode(errors="replace")[-300:]) from None
        return self

    def leader(self):
        """Its process 1, as this machine numbers it."""
        try:
            with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children") as f:
                children = f.read().split()
            return children[0] if children else None
        except OSError:
            return None

    def argv(self, *argv):
        return ["nsenter", "-t", self.leader(), "-m", "-u", "-i", "-n", "-p", "-r", "-w", *argv]

    def run(self, *argv, expect=0, timeout=120, text=None):
        """A command inside, as root."""
        try:
            r = subprocess.run(self.argv(*argv), input=text, stdin=None if text else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "",
                                    "SYSTEMD_COLORS": "0", "HOME": "/root"})
        except subprocess.TimeoutExpired:
            raise Failure(f"in the container: {' '.join(argv)}: no end within {timeout:g} s") from None
        if expect is not None:
            check(r.returncode == expect, f"in the container: {' '.join(argv)}: exit {r.returncode}\n{r.stdout[-1500:]}"
                  f"{r.stderr[-3000:]}")
        return r

    def show(self, unit, *names):
        """Properties of a unit."""
        out = self.run("systemctl", "show", unit, *(f"--property={n}" for n in names)).stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    def sweep(self):
        """What systemd-nspawn itself leaves in /run."""
        run_dir, root = "/run/systemd/nspawn", os.stat(self.root)
        for remove, name in ((os.rmdir, f"propagate/{self.machine}"),
                             (os.unlink, f"locks/inode-{root.st_dev}:{root.st_ino}"),
                             (os.rmdir, "propagate"), (os.rmdir, "locks"), (os.rmdir, "")):
            try:
                remove(os.path.join(run_dir, name))
            except OSError:  # never made, or another container's
                pass

    def close(self):
        """Ends every process of the container and takes the mounts away; never leaves one half done."""
        if self.proc and self.proc.alive():
            leader = self.leader()
            if leader:  # its end is the end of all in there
                os.kill(int(leader), signal.SIGKILL)
            self.proc.end()
        self.sweep()
        for folder in (self.root, self.layer):
            for _ in range(50):
                if not os.path.ismount(folder) or run("umount", folder).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                run("umount", "-l", folder)
