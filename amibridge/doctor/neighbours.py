"""Enterprises beside each other: what each of them may well be by itself, and both together are not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amibridge.doctor.findings import Finding, warn
from amibridge.enterprises import AmiHost, Enterprise


def shared_hosts(enterprise: Enterprise, everybody: Iterable[Enterprise]) -> Iterator[Finding]:
    """Hosts where *enterprise* signs in as another one does: each hears all calls, and tells them to its CRM.

    With accounts of their own an `eventfilter` on the PBX may keep them apart, so that is nobody's mistake.
    """
    others = [host for other in everybody if other.id != enterprise.id for host in other.hosts]
    for host in enterprise.hosts:
        same = sorted({other.enterprise for other in others if _account(other) == _account(host)})
        if same:
            found = f"{', '.join(same)} signs in there as {host.username}, too: every call is told to both CRMs"
            advice = "give each an AMI account of its own with an `eventfilter`, or serve that PBX for one of them only"
            yield warn(f"{host.name} account", found, advice)


def _account(host: AmiHost) -> tuple[str, int, str]:
    return host.host.lower(), host.port, host.username
