from __future__ import annotations

import pytest

from tmsprep.running.memory import parse_memory


@pytest.mark.parametrize(
    ('text', 'gigabytes'),
    [
        ('8GB', 8),
        ('8G', 8),
        ('8 gb', 8),
        ('8000MB', 8),
        ('8000', 8),
        ('1.5T', 1500),
        ('8000000K', 8),
        ('8GiB', 8.589934592),
        ('500', 0.5),
    ],
)
def test_amounts(text: str, gigabytes: float) -> None:
    assert parse_memory(text) == pytest.approx(gigabytes)


@pytest.mark.parametrize('text', ['', 'GB', '8X', '8000B', '-8GB', '8,5GB', 'nan', '8GBB', '8iB'])
def test_nonsense(text: str) -> None:
    with pytest.raises(ValueError, match='write 8GB or 8000MB'):
        parse_memory(text)


def test_gigabytes_without_their_unit_are_noticed() -> None:
    with pytest.raises(ValueError, match=r"'16' is 0.016 GB.*did you mean 16GB\?"):
        parse_memory('16')
    with pytest.raises(ValueError, match=r'less than the 0.5 GB needed$'):
        parse_memory('16MB')
