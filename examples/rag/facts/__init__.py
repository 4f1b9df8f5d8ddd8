"""What there is to know of a business: a file for each section of its document."""

from __future__ import annotations

from collections.abc import Mapping

from wordings import Fact

from facts.about_us import ABOUT_US
from facts.booking import BOOKING
from facts.contact import CONTACT
from facts.good_to_know import GOOD_TO_KNOW
from facts.news import NEWS
from facts.opening_hours import OPENING_HOURS
from facts.prices import PRICES

# The businesses are drawn by this order.
FACTS: Mapping[str, Fact] = {
    **OPENING_HOURS,
    **PRICES,
    **BOOKING,
    **CONTACT,
    **ABOUT_US,
    **GOOD_TO_KNOW,
    **NEWS,
}
