"""`amibridge run` and `amibridge demo`: hand over to the daemon, or to the daemon with a sandbox around it."""

from __future__ import annotations

import argparse

from amibridge import daemon
from amibridge.cli.configured import begin, in_loop, settings_of
from amibridge.cli.failure import CommandFailed
from amibridge.cli.ownership import act_as_owner


def run(args: argparse.Namespace) -> int:
    settings = begin(args)
    act_as_owner(settings.data_dir)
    try:
        in_loop(daemon.run(settings, reload=lambda: settings_of(args)))
    except daemon.DaemonFailed as error:
        raise CommandFailed(str(error)) from error
    return 0


def demo(args: argparse.Namespace) -> int:
    from amibridge.sandbox.demo import demo as play
    from amibridge.store.embedded import EmbeddedUnusable

    try:
        return in_loop(play(port=args.port, speed=args.speed, once=args.once))
    except (daemon.DaemonFailed, EmbeddedUnusable) as error:
        raise CommandFailed(str(error)) from error
