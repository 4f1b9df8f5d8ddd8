"""The choices of a request, said side by side. Knows no protocol's form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import attrs

from customize.interfaces.runtime import Query
from customize.serving.desk import Desk
from customize.serving.speech import Piece, Speech


@attrs.frozen(eq=False)
class Choice:
    """One answer to give: what is asked, and what has been said of it."""

    query: Query
    speech: Speech


async def said_together(
    desk: Desk, choices: Sequence[Choice]
) -> AsyncGenerator[tuple[int, Piece], None]:
    """Pieces with the number of their choice, as they come; each choice ends with a ``finish``."""
    heard: asyncio.Queue[tuple[int, Piece | Exception]] = asyncio.Queue()
    tasks = [
        asyncio.create_task(_say(desk, choice, number, heard))
        for number, choice in enumerate(choices)
    ]
    going = len(tasks)
    try:
        while going:
            number, piece = await heard.get()
            if isinstance(piece, Exception):
                raise piece
            going -= piece.finish is not None
            yield number, piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _say(
    desk: Desk, choice: Choice, number: int, heard: asyncio.Queue[tuple[int, Piece | Exception]]
) -> None:
    try:
        async with aclosing(desk.answer(choice.query)) as answer:
            async for said in answer:
                heard.put_nowait((number, choice.speech.hear(said)))
                if choice.speech.ended:
                    break
        heard.put_nowait((number, choice.speech.end()))
    except Exception as error:  # told to whoever listens
        heard.put_nowait((number, error))
