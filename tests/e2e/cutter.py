"""A checkpoint that was sent away, against who has the store: it proves the trail as it is, and refuses one that was cut in
front of it, which everything that is left in the store proves."""
import sqlite3

from proc import check


def export(lab, tenant, name):
    path = lab.path(name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(lab.cloud.ctl("audit", "export", "--tenant", tenant).stdout)
    return path


def verify(lab, path, key, *more, expect=0):
    return lab.run([lab.program("punchcloud"), "audit", "verify", path, "--key", key, *more], expect=expect).stdout


def cut(lab, tenant, left):
    """Events, checkpoints and the head's own row, while nobody looks."""
    lab.cloud.proc.stop()
    db = sqlite3.connect(f"{lab.cloud.state}/store.db", timeout=30)
    gone = db.execute("DELETE FROM audit WHERE tenant_id = ? AND seq > ?", (tenant, left)).rowcount
    db.execute("DELETE FROM audit_checkpoint WHERE tenant_id = ?", (tenant,))
    db.execute("DELETE FROM audit_head WHERE tenant_id = ?", (tenant,))
    db.commit()
    db.close()
    lab.cloud.start()
    return gone


def kept(lab, tenant, checkpoint, seq):
    """`checkpoint` as it was received, which covers event `seq`."""
    key, away = lab.path("trail-key.pem"), lab.path("kept")
    with open(key, "w", encoding="utf-8") as f:
        f.write(lab.cloud.ctl("audit", "key").stdout)
    with open(away, "wb") as f:
        f.write(checkpoint)
    whole = export(lab, tenant, "whole.jsonl")
    check("Proven" in verify(lab, whole, key, "--checkpoint", away), "the checkpoint does not prove the trail")
    check(cut(lab, tenant, seq - 2) >= 2, "there was nothing to cut")
    short = export(lab, tenant, "short.jsonl")
    check("Proven" in verify(lab, short, key), "the cut trail should prove itself")
    said = verify(lab, short, key, "--checkpoint", away, expect=4)
    check("NOT PROVEN" in said and ("it was cut" in said or "one of them was changed" in said), said)
    print(f"a checkpoint of {seq} events proves their trail, and refuses it without the last two", flush=True)
