"""An ERP writes its goods one element a line, the text indented; reading must give the bare text."""

import json
import sys

sys.path.insert(0, sys.argv[1])
try:
    import xmltodict
except ImportError as problem:
    print(f"cannot be tested: {problem}")
    sys.exit(125)

with open(sys.argv[2], encoding="utf-8") as file:
    goods = json.load(file)
wrong = []
for good in goods:
    lines = [f"  <{name}>{before}{text}{before}</{name}>" for name, (before, text) in good.items()]
    read = xmltodict.parse("<good>\n" + "\n".join(lines) + "\n</good>")["good"]
    wrong += [name for name, (_, text) in good.items() if read[name] != text]
if wrong:
    print(f"white space around: {', '.join(wrong)}")
    print("signature: white space kept")
    sys.exit(1)
