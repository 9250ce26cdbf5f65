"""Words that switch something on or off: YAML's own, and those of YAML 1.1 that Bruin reads."""

from __future__ import annotations

_WORDS = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False, "": False,
}  # fmt: skip


def switched(word: object) -> bool | None:
    """Whether `word` switches on or off; None when it does neither."""
    return _WORDS.get(str(word).strip().lower())
