"""Mail addresses: one form for each, and one key for those that mean the same mailbox."""

from __future__ import annotations

import unicodedata


def normalize_address(text: str) -> str:
    """Return the mail address ``text`` in the form in which it is stored and shown.

    The domain is in lower case, an international one in Unicode; the part before the @ keeps its case. Whether mail
    arrives there is not asked.

    :raises ValueError: when it is no address; the message does not repeat it.
    """
    # 20 to 35 ms, most of them for its regular expressions: only where somebody comes with an address.
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        # The library's own reason quotes the address.
        raise ValueError("This is not a mail address that can be used. Write it like ann@example.com.") from None


def address_key(address: str) -> str:
    """Return what two normalised addresses have in common when they differ in case only.

    A column of its own, because ``lower()`` of SQLite knows ASCII alone, and that of PostgreSQL depends on its locale.
    """
    return unicodedata.normalize("NFC", address.casefold())
