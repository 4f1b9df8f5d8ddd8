"""Words that hold an English question together and say nothing of what is asked.

In documents that do not speak to their reader "how" and "do" are rare words, so that how often
they occur does not tell them apart. Other languages have no list here.
"""

from __future__ import annotations

_ENGLISH = """
a about an and any are as at be been but by can could did do does for from had has have how i if in
into is it its me my of on or our shall should so some than that the their them then there these
they this those to was we were what when where which who whom whose why will with would you your
"""
FUNCTION_WORDS = frozenset(_ENGLISH.split())
