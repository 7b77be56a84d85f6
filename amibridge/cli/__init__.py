"""`amibridge`: parses, then calls one function.

Laws: exit codes are 0 done, 1 failed and said why, 2 wrong usage or configuration; JSON lines for machines on stdout,
sentences for people on stderr; a person's mistake never shows a traceback.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from amibridge.cli.arguments import Command, parser

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

READER_LEFT = 141
"""128 + SIGPIPE: nobody reads our output any more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # it is JSON, whatever the locale is
    try:
        args = parser(COMMANDS).parse_args(argv)
        code = int(args.command(args))
        sys.stdout.flush()
    except SystemExit as stop:  # argparse has said it all
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _let_go_of_output()
        return READER_LEFT
    except Exception as error:
        code, sentences = _explained(error)
        for sentence in sentences:
            print(f"amibridge: {sentence}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _let_go_of_output()
    return code


def _open_what_is_closed() -> None:
    """A standard stream that is closed becomes /dev/null: or the next file opened would stand in its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _let_go_of_output() -> None:
    """The interpreter flushes once more at exit and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: Exception) -> tuple[int, list[str]]:
    """Exit code and sentences for an error that a person can do something about; a defect of ours is raised again."""
    from amibridge.cli.failure import CommandFailed
    from amibridge.config import ConfigError
    from amibridge.secrets import KeyringUnusable, SecretsError

    match error:
        case ConfigError():
            return 2, error.problems
        case KeyringUnusable():
            return 2, [str(error)]
        case SecretsError() | CommandFailed():
            return 1, [str(error)]
        case OSError():
            what = error.strerror or str(error)
            return 1, [f"{error.filename}: {what}" if error.filename else what]
        case _:
            raise error


def _run(args: argparse.Namespace) -> int:
    from amibridge.cli.run import run

    return run(args)


def _demo(args: argparse.Namespace) -> int:
    from amibridge.cli.run import demo

    return demo(args)


def _replay(args: argparse.Namespace) -> int:
    from amibridge.cli.enterprise_file import read_enterprise
    from amibridge.cli.replay import replay
    from amibridge.config import ConfigError

    if args.render and args.enterprise is None:
        raise ConfigError(["--render needs --enterprise: the requests depend on whose operators they are"])
    return replay(args, read_enterprise(args.enterprise) if args.enterprise else None)


def _capture(args: argparse.Namespace) -> int:
    if args.call is not None:
        from amibridge.cli.cutout import cut_out

        return cut_out(args)
    from amibridge.cli.capture import capture

    return capture(args)


def _enterprise_apply(args: argparse.Namespace) -> int:
    from amibridge.cli.enterprise import apply

    return apply(args)


def _enterprise_list(args: argparse.Namespace) -> int:
    from amibridge.cli.enterprise import list_all

    return list_all(args)


def _enterprise_show(args: argparse.Namespace) -> int:
    from amibridge.cli.enterprise import show_one

    return show_one(args)


def _enterprise_remove(args: argparse.Namespace) -> int:
    from amibridge.cli.enterprise import remove

    return remove(args)


def _db_upgrade(args: argparse.Namespace) -> int:
    from amibridge.cli.db import upgrade

    return upgrade(args)


def _call(args: argparse.Namespace) -> int:
    from amibridge.cli.call import call

    return call(args)


def _deliveries(args: argparse.Namespace) -> int:
    from amibridge.cli.deliveries import deliveries

    return deliveries(args)


def _resend(args: argparse.Namespace) -> int:
    from amibridge.cli.resend import resend

    return resend(args)


def _doctor(args: argparse.Namespace) -> int:
    from amibridge.cli.doctor import doctor

    return doctor(args)


def _retailcrm_register(args: argparse.Namespace) -> int:
    from amibridge.cli.retailcrm import register

    return register(args)


def _retailcrm_status(args: argparse.Namespace) -> int:
    from amibridge.cli.retailcrm import status

    return status(args)


def _retailcrm_users(args: argparse.Namespace) -> int:
    from amibridge.cli.retailcrm import users

    return users(args)


def _token_add(args: argparse.Namespace) -> int:
    from amibridge.cli.token import add

    return add(args)


def _token_list(args: argparse.Namespace) -> int:
    from amibridge.cli.token import list_all

    return list_all(args)


def _token_revoke(args: argparse.Namespace) -> int:
    from amibridge.cli.token import revoke

    return revoke(args)


COMMANDS: dict[str, Command] = {
    "run": _run,
    "demo": _demo,
    "replay": _replay,
    "capture": _capture,
    "enterprise apply": _enterprise_apply,
    "enterprise list": _enterprise_list,
    "enterprise show": _enterprise_show,
    "enterprise remove": _enterprise_remove,
    "retailcrm register": _retailcrm_register,
    "retailcrm status": _retailcrm_status,
    "retailcrm users": _retailcrm_users,
    "token add": _token_add,
    "token list": _token_list,
    "token revoke": _token_revoke,
    "db upgrade": _db_upgrade,
    "call": _call,
    "deliveries": _deliveries,
    "resend": _resend,
    "doctor": _doctor,
}
