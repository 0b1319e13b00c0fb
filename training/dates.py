"""A corpus that every machine can make: dates as fifteen languages write them, and the same date in ISO 8601.

The patterns are those of the Unicode CLDR through babel. Knows nothing about models.
"""

from __future__ import annotations

import datetime
import random

from babel import Locale
from babel.dates import format_date

LOCALES = ("en", "en_GB", "ko", "de", "fr", "es", "ja", "it", "nl", "pt", "sv", "pl", "tr", "zh", "id")
FORMATS = ("full", "long", "medium")

_FIRST = datetime.date(1950, 1, 1)
_DAYS = 36_525  # a hundred years


def date_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Return `count` pairs (written date, ISO 8601 date), no written date twice, in random order."""
    generator = random.Random(seed)
    locales = [Locale.parse(name) for name in LOCALES]
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        date = _FIRST + datetime.timedelta(days=generator.randrange(_DAYS))
        written = format_date(date, generator.choice(FORMATS), locale=generator.choice(locales))
        pairs[written] = date.isoformat()
    return list(pairs.items())
