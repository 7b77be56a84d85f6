"""`python -m bench`: what amibridge costs and how quick it is, on this machine. Tables on stdout, or JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from amibridge import log
from bench import click, drain, fuzz, hour, parse, popup, report, responsible, soak, web

BENCHES = ("parse", "popup", "click", "drain", "responsible", "web", "soak", "fuzz")
BY_DEFAULT = ("parse", "popup")


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    benches = args.benches or BY_DEFAULT
    log.configure("console", "warning")
    machine = report.this_machine()
    _say(args, report.machine_lines(machine))
    rows: dict[str, Sequence[report.Row]] = {}
    if "parse" in benches:
        rows["parse"] = parsed = list(parse.measure(rounds=args.rounds))
        _say(args, report.parse_lines(parsed))
    if "popup" in benches:
        rows["popup"] = told = asyncio.run(_popups(args))
        _say(args, report.popup_lines(told))
    if "click" in benches:
        rows["click"] = clicked = asyncio.run(_clicks(args))
        _say(args, report.click_lines(clicked))
    if "drain" in benches:
        rows["drain"] = drained = asyncio.run(_drained(args))
        _say(args, report.drain_lines(drained))
    if "responsible" in benches:
        rows["responsible"] = answered = asyncio.run(responsible.measure(args.questions, dsn=args.dsn))
        _say(args, report.responsible_lines(answered))
    if "web" in benches:
        rows["web"] = visited = asyncio.run(_visited(args))
        _say(args, report.web_lines(visited))
    if "soak" in benches:
        rows["soak"] = soaked = list(soak.measure(args.events))
        _say(args, report.soak_lines(soaked))
    if "fuzz" in benches:
        rows["fuzz"] = fuzzed = list(fuzz.measure(args.messages, args.seed))
        _say(args, report.fuzz_lines(fuzzed))
    if args.json:
        print(report.as_json(machine, rows))
    return 0


async def _popups(args: argparse.Namespace) -> list[popup.PopupRow]:
    return [row async for row in popup.measure(args.rates, seconds=args.seconds or popup.SECONDS, dsn=args.dsn)]


async def _clicks(args: argparse.Namespace) -> list[click.ClickRow]:
    return [row async for row in click.measure(clicks=args.clicks, dsn=args.dsn)]


async def _drained(args: argparse.Namespace) -> list[drain.DrainRow | drain.BesideRow]:
    return [row async for row in drain.measure(seconds=args.seconds or popup.SECONDS, dsn=args.dsn)]


async def _visited(args: argparse.Namespace) -> list[web.AnswersRow | web.TownRow | hour.HourRow]:
    told: list[web.AnswersRow | web.TownRow | hour.HourRow] = []
    if args.rate > 0:
        told += await web.measure(args.rate, args.seconds or web.SECONDS, dsn=args.dsn)
    if args.minutes > 0:
        told.append(await hour.measure(args.minutes, dsn=args.dsn))
    return told


def _say(args: argparse.Namespace, lines: Sequence[str]) -> None:
    if not args.json:
        print("\n".join([*lines, ""]), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "benches", nargs="*", type=_bench, metavar="BENCH", help=f"of {', '.join(BENCHES)} (default: parse popup)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--rounds", type=int, default=parse.ROUNDS, metavar="N", help="of parse (default: %(default)s)")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=popup.RATES,
        metavar="X",
        help="calls a second of popup (default: 5 48)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="X",
        help=f"of popup at each rate, of drain, and of web (default: {popup.SECONDS:g}, of web {web.SECONDS:g})",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=web.RATE,
        metavar="X",
        help="questions a second of web, 0 for none (default: %(default)g)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=hour.MINUTES,
        metavar="X",
        help="of the recording that web makes mp3 of, 0 for none (default: %(default)g)",
    )
    parser.add_argument("--clicks", type=int, default=click.CLICKS, metavar="N", help="of click (default: %(default)s)")
    parser.add_argument(
        "--dsn",
        help="PostgreSQL on which all but parse, soak and fuzz may make a database (default: one of their own)",
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=responsible.QUESTIONS,
        metavar="N",
        help="of responsible, each kind (default: %(default)s)",
    )
    parser.add_argument("--events", type=int, default=soak.EVENTS, metavar="N", help="of soak (default: %(default)s)")
    parser.add_argument(
        "--messages", type=int, default=fuzz.MESSAGES, metavar="N", help="of fuzz (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=fuzz.SEED, metavar="N", help="of fuzz (default: %(default)s)")
    return parser


def _bench(word: str) -> str:
    if word not in BENCHES:
        raise argparse.ArgumentTypeError(f"there are {', '.join(BENCHES)}")
    return word


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
