#!/usr/bin/python3
"""wordlist.py LIST.txt OUT.c: the words of a list as an array of C strings of one size, for cloud/password.c."""
import json
import sys


def main(source, out):
    with open(source, encoding="ascii") as f:
        words = [line.rstrip("\n") for line in f if not line.startswith("#")]
    rows = "\n".join(f"    {json.dumps(w)}," for w in words)
    with open(out, "w", encoding="ascii") as f:
        f.write('#include "cloud/common_passwords.h"\n\n'
                f"const char common_passwords[][COMMON_PASSWORD_MAX + 1] = {{\n{rows}\n}};\n"
                f"const size_t common_passwords_n = {len(words)};\n")


main(*sys.argv[1:])
