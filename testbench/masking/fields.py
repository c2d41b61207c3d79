"""Which fields hold personal data: names of elements, attributes and keys (SET-INTERFACES 2.4 to 3.6, 4)."""

from __future__ import annotations

import re

#: Kind of value -> the fields that hold it, normalised (lower case, letters and digits only).
_BY_KIND = {
    "name": """username lastname firstname middlename surname patronymic fullname fio cashier cashiername
        clientname customername holder cardholder owner""",
    "tab": "tabnumber tabnum usertabnumber usertabnum cashiertab",
    "phone": "phone mobilephone phonenumber mobile tel",
    "email": "email mail emailaddress",
    "card": """cardnumber discountcard loyaltycard internalcardnumber giftcardnumber bonuscard clientcard
        set10card magneticcard customercard pan""",
    "marking": "excisetoken excisebarcode mark marks markcode markingcode datamatrix stamp exciseraw",
    "inn": "inn clientinn customerinn cashierinn",
    "fiscal": """fiscalnum fn fp fd fiscalsign fiscaldrive fiscaldocnum fiscaldocid fiscaldocnumber
        fiscaldocumentnumber refnumber""",
    "qr": "qrcode qr qrpayload",
    "snils": "snils",
    "birthday": "birthdate birthday dateofbirth",
}
FIELDS = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}

#: (element, attribute), both normalised, where the attribute's name alone would say too little.
IN_CONTEXT: dict[tuple[str, str], str] = {
    ("internalcard", "number"): "card",
    ("card", "number"): "card",
    ("client", "guid"): "guid",
    ("cust", "guid"): "guid",
    ("receiptcard", "number"): "card",
    # A coupon is told among the discount cards: its number must stay the same everywhere.
    ("receiptcoupon", "number"): "card",
    ("coupon", "number"): "card",
    ("bonuscharge", "card"): "card",
}

#: They decide how the product behaves and say nothing about a person: touched only where the value does.
_KEPT = """goodscode barcode code markingofthegood item ti price amount count cost quantity number shop cash
    shift seq at unit type id nds ndssum discountvalue costwithdiscount discountamount saletime begintime
    operday datecommit version sha256 bytes packet goods document producttype order factorynum"""
KEPT = frozenset(_KEPT.split())
#: Codes and articles of goods: a number in one is never a person's, whatever it looks like.
GOODS = frozenset({"goodscode", "barcode", "markingofthegood"})
#: Digests: a change would make a lie of them.
DIGESTS = frozenset({"sha256"})

_NOISE = re.compile(r"[^a-z0-9]")


def normalised(name: str) -> str:
    """A field name without its namespace, case and punctuation: "ns:card.number" is "cardnumber"."""
    return _NOISE.sub("", name.rpartition(":")[2].lower())


def kind_of(name: str, context: str = "") -> str | None:
    """What kind of personal data the field ``name`` of element (or event type) ``context`` holds, if any."""
    field = normalised(name)
    return IN_CONTEXT.get((normalised(context), field)) or FIELDS.get(field)
