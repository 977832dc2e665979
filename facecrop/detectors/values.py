"""Settings of detectors: text from a command line or numbers, checked and made one."""

from __future__ import annotations

from gleanset.errors import UsageError

YES, NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")


def number(name: str, value: str | float, low: float, high: float) -> float:
    """Return the value of the setting `name`.

    Raises `UsageError` for no number and one out of range.
    """
    mend = f"give a number from {low:g} to {high:g}"
    try:
        found = float(value)
    except ValueError:
        raise UsageError(f"{name} {value!r} is not a number", mend) from None
    if not low <= found <= high:
        raise UsageError(f"{name} {found:g} is out of range", mend)
    return found


def whole_number(name: str, value: str | float, low: int, high: int) -> int:
    """Return the same for a number without a fraction."""
    found = number(name, value, low, high)
    if found != int(found):
        raise UsageError(f"{name} {found:g} is not a whole number", f"for example {int(found)}")
    return int(found)


def switch(name: str, value: str | float) -> bool:
    """Return whether a setting is yes or no. Raises `UsageError` for anything else."""
    word = f"{value:g}" if isinstance(value, int | float) else value.strip().lower()
    if word in YES or word in NO:
        return word in YES
    raise UsageError(f"{name} {value!r} is neither yes nor no", f"give {name}=yes or {name}=no")
