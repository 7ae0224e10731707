"""Who looks at a page, and what they may change. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.safe import one_line

Network = IPv4Network | IPv6Network


class ForgedHeadersError(RefusalError):
    """Somebody other than the proxy said who they are."""


@dataclass(frozen=True)
class Viewer:
    """Who looks.

    Attributes:
        user: Their name, as changes are signed; None where no proxy told it.
        groups: The groups of people that they are in; empty where nothing can be changed.
        is_platform: Whether they may change everything.
    """

    user: str | None = None
    groups: frozenset[str] = frozenset()
    is_platform: bool = False

    def may_change(self, limits: CodeLocationLimits, code_locations: Collection[str]) -> bool:
        """Whether they may change all of some code locations."""
        return self.is_platform or (
            bool(code_locations) and all(self.groups & limits.operators(name) for name in code_locations)
        )


@dataclass(frozen=True)
class Access:
    """What lets somebody change anything; by default nothing does.

    Attributes:
        allow_changes: Whether anything can be changed at all.
        user_header: The header in which the proxy tells the user; empty for none.
        groups_header: The header in which it tells their groups, separated by commas.
        trusted_proxies: The addresses from which these headers count.
        platform_groups: Whose people may change everything.
    """

    allow_changes: bool = False
    user_header: str = ""
    groups_header: str = ""
    trusted_proxies: Sequence[Network] = ()
    platform_groups: frozenset[str] = field(default_factory=frozenset)

    def viewer(self, address: str | None, headers: Mapping[str, Sequence[str]]) -> Viewer:
        """Who sent a request, from where its connection comes from and its headers, by the name in lower case.

        Raises:
            ForgedHeadersError: It carries a header of the proxy but didn't come from there, or carries one twice.
        """
        told = [headers.get(name.lower(), ()) for name in (self.user_header, self.groups_header)]
        if not any(told):
            return Viewer()
        if not self.is_trusted(address) or any(len(values) > 1 for values in told):
            raise ForgedHeadersError(
                f"The headers {self.user_header} and {self.groups_header} count only from the proxy, and once;"
                " open this page through the proxy that you sign in to."
            )
        user, groups = (one_line(values[0]) if values else "" for values in told)
        of = frozenset(filter(None, map(str.strip, groups.split(","))))
        if not (self.allow_changes and user):
            return Viewer(user or None)
        return Viewer(user, of, is_platform=not of.isdisjoint(self.platform_groups))

    def is_trusted(self, address: str | None) -> bool:
        """Whether an address is the proxy's."""
        try:
            found = ip_address(address or "")
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self.trusted_proxies)
