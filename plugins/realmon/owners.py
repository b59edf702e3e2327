"""Owners of buildings: who gets the mails about them."""

from __future__ import annotations

import click


def read_owner(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the mail address that an option gives; its callback.

    :raises click.BadParameter: when mail cannot be sent there.
    """
    if value is None:
        return None
    # 20 to 35 ms, most of them for its regular expressions: only where somebody gives an address.
    from email_validator import EmailNotValidError, validate_email

    try:
        # Letters beyond ASCII before the @ are something that few mail servers take.
        return validate_email(value, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError as error:
        raise click.BadParameter(
            "This is not a mail address that can be used. Write it like ann@example.com."
        ) from error
