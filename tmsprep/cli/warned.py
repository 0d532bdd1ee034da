"""Which targets of a run carry a warning: for the end of its log and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tmsprep.text import counted

#: Most targets that are named; the reports have all.
MOST_NAMED = 10


@dataclass(frozen=True)
class Warned:
    """Targets of a run, and those that carry a warning.

    Parameters
    ----------
    total : int
        Number of targets of all images.
    named : tuple of str
        One per target with a warning: image, target, and the status by each method.
    """

    total: int
    named: tuple[str, ...]

    @classmethod
    def of(cls, tables: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Warned:
        """Look through the tables of a run.

        Parameters
        ----------
        tables : mapping
            Image to method to target to status.

        Examples
        --------
        >>> cls = Warned.of({'sub-05': {'a': {'LDLPFC': 'ok', 'ROFC': 'wrong_side'}}})
        >>> cls.in_words
        '1 of 2 targets carries a warning: sub-05 ROFC wrong_side (a)'
        """
        total, named = 0, []
        for image, of_methods in tables.items():
            labels = dict.fromkeys(label for rows in of_methods.values() for label in rows)
            total += len(labels)
            for label in labels:
                methods: dict[str, list[str]] = {}
                for method, rows in of_methods.items():
                    status = rows.get(label, 'ok')
                    if status != 'ok':
                        methods.setdefault(status, []).append(method)
                if methods:
                    found = ', '.join(f'{s} ({", ".join(by)})' for s, by in methods.items())
                    named.append(f'{image} {label} {found}')
        return cls(total, tuple(named))

    @property
    def named_above(self) -> str:
        """End of the last line of a log that has named the targets; '' if there are none."""
        count = counted(len(self.named), 'target')
        return f'; look at {count} with a warning, named above' if self.named else ''

    @property
    def in_words(self) -> str:
        """One line that counts and names the targets with a warning; '' if there are none."""
        if not self.named:
            return ''
        verb = 'carries' if len(self.named) == 1 else 'carry'
        rest = len(self.named) - MOST_NAMED
        more = f'; and {rest} more, named in the reports' if rest > 0 else ''
        names = '; '.join(self.named[:MOST_NAMED])
        of = f'{len(self.named)} of {counted(self.total, "target")}'
        return f'{of} {verb} a warning: {names}{more}'
