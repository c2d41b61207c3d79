"""A label prints a full EAN-13; asking the same label for its check digit again must give the printed one."""

import sys

sys.path.insert(0, sys.argv[1])
try:
    from barcode.ean import EuropeanArticleNumber13
except ImportError as problem:
    print(f"cannot be tested: {problem}")
    sys.exit(125)

with open(sys.argv[2], encoding="utf-8") as file:
    labels = file.read().split()
for digits in labels:
    label = EuropeanArticleNumber13(digits)
    printed, again = label.get_fullcode()[-1], str(label.calculate_checksum())
    if printed != again:
        print(f"{digits}: printed {printed}, computed again {again}")
        print("signature: check digit changes")
        sys.exit(1)
