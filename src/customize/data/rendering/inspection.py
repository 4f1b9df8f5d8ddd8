"""What a person looks at to see which tokens are trained: in the terminal, and as a page.

Trained tokens are bold and underlined besides their colour, and stand between ⟦ and ⟧ where a
terminal shows neither. Knows nothing of how weights are found.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from customize._batch import Ints
from customize._errors import RenderingError
from customize._printable import printable
from customize.interfaces.renderer import Rendered

if TYPE_CHECKING:
    from rich.console import Console

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Trained tokens</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }}
h2 {{ font-size: 1.1rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #888; padding: .75rem; }}
b {{ text-decoration: underline; color: #0b5d2a; background: #e3f5e8; }}
.error {{ color: #8a1010; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #16181a; color: #ddd; }} b {{ color: #9be8b4; background: #123020; }}
  .error {{ color: #ff9d9d; }}
}}
</style></head><body>
<h1>Trained tokens</h1>
<p>{summary}. <b>Bold and underlined</b>: trained. Plain: read only.</p>
{rows}
</body></html>
"""


class ShowsTokens(Protocol):
    """What inspection needs of a renderer."""

    def render(self, messages: Any, tools: Any = None, documents: Any = None) -> Rendered: ...

    def text_of(self, tokens: Ints) -> str: ...


@attrs.frozen
class Run:
    """Neighbouring tokens of one kind: their text, number, and whether they are trained."""

    text: str
    num_tokens: int
    trained: bool


@attrs.frozen
class InspectedRow:
    """One row, counted from 1; ``error`` says why it cannot be rendered, then ``runs`` is empty."""

    number: int
    runs: tuple[Run, ...]
    error: str | None = None

    @property
    def num_tokens(self) -> int:
        return sum(run.num_tokens for run in self.runs)

    @property
    def num_trained(self) -> int:
        return sum(run.num_tokens for run in self.runs if run.trained)


@attrs.frozen
class Inspection:
    """The first rows of a data set as a model would be trained on them."""

    rows: tuple[InspectedRow, ...]

    @property
    def summary(self) -> str:
        tokens = sum(row.num_tokens for row in self.rows)
        trained = sum(row.num_trained for row in self.rows)
        refused = sum(row.error is not None for row in self.rows)
        share = f" ({trained / tokens:.0%})" if tokens else ""
        text = f"{len(self.rows)} rows, {tokens} tokens, {trained} trained{share}"
        return f"{text}, {refused} refused" if refused else text

    def print(self, console: Console) -> None:
        """Write the rows to a terminal."""
        from rich.text import Text

        styled = console.is_terminal and not console.no_color
        for row in self.rows:
            console.print(Text(_heading(row), style="bold"))
            if row.error is not None:
                console.print(Text(row.error, style="red"))
                continue
            line = Text()
            for run in row.runs:
                text = run.text if styled or not run.trained else f"⟦{run.text}⟧"
                line.append(text, style="bold underline green" if run.trained else "dim")
            console.print(line, soft_wrap=True)
            console.print()
        told = "Bold and underlined" if styled else "Between ⟦ and ⟧"
        console.print(Text(f"{self.summary}. {told}: trained."))

    def html(self) -> str:
        """A page that needs no other file."""
        return _PAGE.format(summary=self.summary, rows="\n".join(map(_html_row, self.rows)))


def inspect_rows(
    rows: Iterable[Mapping[str, Any]], renderer: ShowsTokens, limit: int = 5
) -> Inspection:
    """Render the first ``limit`` rows; a row that is refused is shown with its reason."""
    inspected: list[InspectedRow] = []
    for number, row in zip(range(1, limit + 1), rows, strict=False):
        try:
            rendered = renderer.render(row["messages"], row.get("tools"), row.get("documents"))
        except RenderingError as error:
            inspected.append(InspectedRow(number, (), printable(str(error), keeping="\n")))
        else:
            inspected.append(InspectedRow(number, _runs(rendered, renderer)))
    return Inspection(tuple(inspected))


def _runs(rendered: Rendered, renderer: ShowsTokens) -> tuple[Run, ...]:
    runs: list[Run] = []
    tokens: Ints = rendered.tokens
    start = 0
    for at in range(1, len(tokens) + 1):
        trained = bool(rendered.weights[start])
        if at < len(tokens) and bool(rendered.weights[at]) == trained:
            continue
        text = renderer.text_of(tokens[start:at])
        runs.append(Run(printable(text, keeping="\n"), at - start, trained))
        start = at
    return tuple(runs)


def _heading(row: InspectedRow) -> str:
    counts = f"{row.num_tokens} tokens, {row.num_trained} trained"
    return f"row {row.number}: {'refused' if row.error is not None else counts}"


def _html_row(row: InspectedRow) -> str:
    if row.error is not None:
        body = f'<pre class="error">{html.escape(row.error)}</pre>'
    else:
        runs = (html.escape(run.text) for run in row.runs)
        marked = (f"<b>{t}</b>" if r.trained else t for t, r in zip(runs, row.runs, strict=True))
        body = f"<pre>{''.join(marked)}</pre>"
    return f"<h2>{html.escape(_heading(row))}</h2>\n{body}"
