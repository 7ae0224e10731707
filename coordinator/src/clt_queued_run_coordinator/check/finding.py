"""What `dagster-clt check` reports of an instance or of Helm values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, where, and what to do about it; printed as one line.

    Attributes:
        what: The mistake and what follows from it.
        where: The place: a file and line, or the part of the instance.
        cure: What to write or to do instead.
    """

    what: str
    where: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.cure}"
