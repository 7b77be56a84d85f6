"""Who is one visitor, and how many connections he may hold, so that he does not take those of all others.

Pure: only addresses and numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


class Places:
    """*most* connections at once, of one neighbourhood *of_one*; who is in the networks *exempt* stands for many."""

    def __init__(self, most: int, of_one: int, exempt: Sequence[str] = ()) -> None:
        self._most = most
        self._of_one = of_one
        self._exempt = [ip_network(one, strict=False) for one in exempt]
        self._taken = Counter[str]()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, address: str) -> bool:
        """One for *address*; False if there is none for him."""
        who = neighbourhood(address)
        held = self._taken.get(who, 0)
        if len(self) >= self._most or (held >= self._of_one and not self._stands_for_many(address)):
            return False
        self._taken[who] = held + 1
        return True

    def leave(self, address: str) -> None:
        """One that *address* took."""
        who = neighbourhood(address)
        self._taken[who] -= 1
        if self._taken[who] <= 0:
            del self._taken[who]

    def _stands_for_many(self, address: str) -> bool:
        read = read_address(address)
        return read is not None and any(read in network for network in self._exempt)


def neighbourhood(address: str) -> str:
    """What one visitor can have as many of as he likes: an IPv4 address, or the /64 around an IPv6 address."""
    read = read_address(address)
    if isinstance(read, IPv6Address):
        return str(ip_network(f"{read}/64", strict=False))
    return address if read is None else str(read)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
