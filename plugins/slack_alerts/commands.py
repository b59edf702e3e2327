"""``flask slack_alerts test``."""

from __future__ import annotations

import typing as t

import click

from myapp import untasked

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .webhook import Outcome

FAILED, UNREACHABLE = 1, 3


def make_test(send: Callable[[str], Outcome], name: str) -> click.Command:
    """Return the command of one app, which sends a message with its settings.

    :param name: what the message calls the application.
    """

    @untasked
    @click.command("test")
    @click.pass_context
    def test(context: click.Context) -> None:
        """Send one message to Slack and say what became of it.

        Exit 0 when it was taken, 1 when it was refused, 3 when nobody could be reached.
        """
        outcome = send(f"A test of the alerts of {name}. There is nothing to do.")
        if not outcome.reason:
            click.echo("The message was taken. It is in the channel of the webhook.")
            return
        hint = "Look at the webhook in Slack." if outcome.is_reached else "Look at the URL, and at the way to it."
        click.echo(f"The message was not taken: {outcome.reason}. {hint}", err=True)
        context.exit(FAILED if outcome.is_reached else UNREACHABLE)

    return test
