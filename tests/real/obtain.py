"""Brings a private Asterisk: packages of Debian, unpacked into a folder of ours. ``python -m tests.real.obtain 22 16``

No root, nothing of this system is changed, and nothing is asked twice. The address of the mirror is the one this
machine's own apt uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.real.asterisk import Package, version_of

FOLDER = Path(__file__).parents[2] / ".asterisk"

SUITES: Mapping[int, str] = {22: "sid", 16: "bullseye"}
"""Where Debian has which Asterisk: the stable releases since bookworm have none."""

PACKAGES: Mapping[int, tuple[str, ...]] = {
    22: ("asterisk", "asterisk-modules"),
    16: ("asterisk", "asterisk-modules", "asterisk-voicemail"),
}

NAMED = "AMIBRIDGE_TEST_ASTERISK"
"""The environment variable with the folder of another Asterisk: the ``/`` of an unpacked or installed one."""

NEEDED = re.compile(r"zlib1g|lib(?!perl|pam)[\w.+-]+")
"""Packages that Asterisk itself runs on. What its codecs and database drivers want stays away, and so do they."""

PROMPTS = (
    "beep", "beeperr", "pbx-transfer", "pbx-invalid", "pbx-invalidpark", "pbx-parkingfailed", "privacy-incorrect",
    "privacy-thankyou", "vm-intro", "vm-theperson", "vm-isunavail", "vm-goodbye", "conf-onlyperson", "conf-hasjoin",
    "conf-hasleft", *(f"digits/{digit}" for digit in range(10)),
)  # fmt: skip
"""What is said in the calls of the tests."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PATIENCE = 240
"""Seconds for one step; a mirror that needs longer is as good as away."""


class NotObtainable(Exception):
    """Go on without a real Asterisk; the text says why there is none."""


def obtained(version: int) -> Package | None:
    """The Asterisk of that version, if it has been brought or named."""
    named = os.environ.get(NAMED)
    if named:
        package = Package(Path(named), version)
        return package if version_of(_banner(package)) == version else None
    package = Package(FOLDER / str(version), version)
    return package if package.root.exists() else None


def obtain(version: int) -> Package:
    """Bring it, if it is not there yet. Raises NotObtainable."""
    found = obtained(version)
    if found is not None:
        return found
    for tool in ("apt-get", "apt-cache", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise NotObtainable(f"there is no {tool} here")
    work = FOLDER / f"{version}.part"
    shutil.rmtree(work, ignore_errors=True)
    apt = _Apt(work / "apt", SUITES[version])
    apt.update()
    root = work / "root"
    _unpack(apt.download(apt.closure_of(PACKAGES[version])), root)
    _hush(root)
    if version_of(_banner(Package(root, version))) != version:
        raise NotObtainable(f"the mirror's {SUITES[version]} has another Asterisk by now")
    root.rename(FOLDER / str(version))
    shutil.rmtree(work)
    return Package(FOLDER / str(version), version)


class _Apt:
    """apt with a state of its own, for one suite."""

    def __init__(self, state: Path, suite: str) -> None:
        self._state = state
        self._suite = suite
        for folder in ("lists/partial", "cache/archives/partial", "parts", "debs"):
            (state / folder).mkdir(parents=True)
        (state / "status").touch()

    def update(self) -> None:
        sites = _debian_sites()
        if not sites:
            raise NotObtainable("the apt of this machine names no mirror of Debian")
        failure = NotObtainable("")
        for site in sites:
            (self._state / "parts/asterisk.list").write_text(f"deb [signed-by={KEYRING}] {site} {self._suite} main\n")
            try:
                self._run("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
                return
            except NotObtainable as error:
                failure = error
        raise failure

    def closure_of(self, packages: Iterable[str]) -> list[str]:
        """*packages*, the first of them with all it needs to run."""
        first, *others = packages
        said = self._run("apt-cache", "depends", "--important", "--recurse", first)
        depends: dict[str, list[str]] = {}
        package = first
        for line in said.splitlines():
            if not line.startswith((" ", "|", "<")):
                package = line.strip()
                depends[package] = []
            elif found := re.match(r"\s*\|?(?:Pre)?Depends: (\S+)", line):
                depends[package].append(found[1])
        wanted, closure = [first], list[str](others)
        while wanted:
            package = wanted.pop()
            if package not in closure:
                closure.append(package)
                wanted += [one for one in depends[package] if NEEDED.fullmatch(one)]
        return closure

    def download(self, packages: Iterable[str]) -> list[Path]:
        debs = self._state / "debs"
        self._run("apt-get", "download", *packages, cwd=debs)
        return sorted(debs.glob("*.deb"))

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        state = self._state
        options = {
            "Dir::State": state,
            "Dir::State::lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": state / "parts",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run([command[0], *given, *command[1:]], cwd)


def _debian_sites() -> list[str]:
    """The mirrors this machine's apt uses, the likeliest first."""
    said = _run(["apt-get", "indextargets", "--format", "$(SITE)"], None)
    sites = dict.fromkeys(line.rstrip("/") for line in said.splitlines())
    return [site for site in sites if re.search(r"/debian$", site)]


def _unpack(debs: Iterable[Path], root: Path) -> None:
    """Merged-usr links first, or a package with ``/lib`` would make a folder of it."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for deb in debs:
        tarfile = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
        untar = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"]
        subprocess.run(untar, stdin=tarfile.stdout, check=True)
        if tarfile.wait() != 0:
            raise NotObtainable(f"{deb.name} cannot be unpacked")


def _hush(root: Path) -> None:
    """Its prompts, as short silences: a transfer is called off when "transfer" cannot be said."""
    sounds = root / "usr/share/asterisk/sounds/en"
    for prompt in PROMPTS:
        file = sounds / f"{prompt}.ulaw"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff" * 400)


def _banner(package: Package) -> str:
    command = package.command(Path("none"))
    return _run([*command[:4], "-V"], None)


def _run(command: list[str], cwd: Path | None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotObtainable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise NotObtainable(f"{Path(command[0]).name} failed: {last}")
    return done.stdout


def main(versions: Iterable[str]) -> int:
    missing = 0
    for version in map(int, versions):
        since = time.monotonic()
        print(f"==> bringing Asterisk {version} for the tests …", file=sys.stderr, flush=True)
        try:
            package = obtain(version)
        except NotObtainable as error:
            missing += 1
            print(f"==> NO ASTERISK {version}: {error}. Its tests are left out.", file=sys.stderr)
        else:
            print(f"==> {_banner(package).strip()}: {time.monotonic() - since:.0f} s", file=sys.stderr)
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
