#!/usr/bin/env python3
"""Writes crates/repo/src/json/printable_table.rs from the Unicode Character Database.

    scripts/go-print-table.py /usr/share/unicode/UnicodeData.txt 15.0.0 > crates/repo/src/json/printable_table.rs

Go 1.21 and later hold the tables of Unicode 15.0.0; Debian 12 has that file in the package `unicode-data`.
"""
import sys

path, version = sys.argv[1:]
printable = bytearray(0x110000)
first = 0
for line in open(path):
    fields = line.split(";")
    code, name, category = int(fields[0], 16), fields[1], fields[2]
    start = first if name.endswith(", Last>") else code
    first = code
    if category[0] in "LMNPS":
        printable[start:code + 1] = b"\x01" * (code + 1 - start)

bounds = [code for code in range(0x80, 0x110000) if printable[code] != (printable[code - 1] if code > 0x80 else 0)]
print(f"//! Written by `scripts/go-print-table.py` from Unicode {version}: do not edit.")
print()
print("/// Where runs of printable code points from U+0080 on begin (even places) and end (odd places, exclusive).")
print("#[rustfmt::skip]")
print(f"pub(super) const BOUNDS: [u32; {len(bounds)}] = [")
for at in range(0, len(bounds), 12):
    print("    " + " ".join(f"{bound:#x}," for bound in bounds[at:at + 12]))
print("];")
