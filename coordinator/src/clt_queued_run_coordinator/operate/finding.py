"""A finding of `dagster-clt check`, in an instance or in Helm values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One mistake, printed as one line: where it is, what it is, and how to fix it.

    Attributes:
        what: The mistake and its consequence.
        where: The file and line, or the part of the instance.
    """

    what: str
    where: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.cure}"
