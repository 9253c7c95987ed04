"""Draws the pictures of how-it-works: ``python -m docs._make.pictures`` writes them into ``docs/pictures``.

Colours are light or dark as the page that a picture is part of, or as the reader's system where it is opened by itself:
the same file does for the site and for a viewer of the repository.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[1] / "pictures"

_COLOURS: Mapping[str, tuple[str, str]] = {
    "ink": ("#1c2733", "#e6ebf1"),
    "soft": ("#5a6878", "#a9b6c4"),
    "line": ("#8b98a7", "#74859a"),
    "box": ("#eef2f7", "#24303e"),
    "good": ("#d5efe0", "#1d4a37"),
    "some": ("#fdeec9", "#554516"),
    "none": ("#e3e8ee", "#364250"),
    "bad": ("#fadcd9", "#5c2a2a"),
    "mark": ("#b4292d", "#ff8a80"),
}
_FONT = "system-ui, 'Segoe UI', 'Noto Sans', sans-serif"


def picture(title: str, meaning: str, size: tuple[int, int], parts: Iterator[str]) -> str:
    """An SVG of ``size`` (width, height). ``meaning`` says in words what it shows, for those who do not see it."""
    width, height = size
    style = ":root{color-scheme:light dark}.sc-area{fill:var(--c)}.sc-stroke{stroke:var(--c);fill:none}" + "".join(
        f".sc-{name}{{--c:light-dark({light},{dark})}}" for name, (light, dark) in _COLOURS.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sc-picture" viewBox="0 0 {width} {height}" role="img" '
        f'style="max-width:{width}px" font-family="{_FONT}" font-size="15"><title>{escape(title)}</title>'
        f"<desc>{escape(meaning)}</desc><style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def text(
    x: float, y: float, words: str, *, colour: str = "ink", size: int = 15, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text class="sc-{colour} sc-area" x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight}>'
        f"{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, colour: str = "box", *, round_: float = 8) -> str:
    size = f'width="{width:g}" height="{height:g}" rx="{round_:g}"'
    return f'<rect class="sc-{colour} sc-area" x="{x:g}" y="{y:g}" {size}/>'


def dot(x: float, y: float, *, is_full: bool) -> str:
    look = 'class="sc-ink sc-area"' if is_full else 'class="sc-line sc-stroke" stroke-width="1.8"'
    return f'<circle {look} cx="{x:g}" cy="{y:g}" r="5.5"/>'


def whisker(x: float, high: float, low: float) -> str:
    """A range, from one y to another."""
    ends = "".join(line([(x - 6, y), (x + 6, y)], "ink", width=2) for y in (high, low))
    return line([(x, high), (x, low)], "ink", width=2) + ends


def line(points: Sequence[tuple[float, float]], colour: str = "line", *, dashes: str = "", width: float = 1.6) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline class="sc-{colour} sc-stroke" points="{path}" stroke-width="{width:g}"{dashed}/>'


def arrow(points: Sequence[tuple[float, float]], colour: str = "line", *, dashes: str = "") -> str:
    """A line with a head at its end; its last part is horizontal or vertical."""
    (x0, y0), (x, y) = points[-2:]
    across, along = (x - x0) / (abs(x - x0) or 1), (y - y0) / (abs(y - y0) or 1)
    head = [(x, y), (x - 8 * across - 4.5 * along, y - 8 * along - 4.5 * across),
            (x - 8 * across + 4.5 * along, y - 8 * along + 4.5 * across)]  # fmt: skip
    corners = " ".join(f"{a:g},{b:g}" for a, b in head)
    return line(points, colour, dashes=dashes) + f'<polygon class="sc-{colour} sc-area" points="{corners}"/>'


def flow() -> str:
    """The way of one request through the cache, with the status that each end of it gives."""
    return picture(
        "The way of a request",
        "From top to bottom: is this very query known, is there a near query, do earlier scores tell enough, else all "
        "documents are scored. To the right the status of the answer at each point: exact, semantic, verified, "
        "pruned, partial, fresh; and degraded when the primary reranker does not answer.",
        (560, 736),
        _flow(),
    )


def _flow() -> Iterator[str]:
    yield box(8, 8, 300, 44, round_=22) + text(158, 35, "query, documents, top k", anchor="middle", bold=True)
    yield from _step(78, "Fingerprint each document's text", "a changed text is another document")
    yield from _step(156, "Was this very query asked before?", "one GET, no embedding")
    yield from _end(160, "all known", "exact", "no model call", "good")
    yield from _step(234, "Is there a near query?", "embed, one vector search, one read", "no", height=110)
    yield from _end(240, "trusted", "semantic", "no model call", "good")
    yield from _end(294, "near", "verified", "asks while it matters", "some")
    yield from _step(370, "Do earlier scores tell enough?", "prune.mode: on", "no")
    yield from _end(374, "yes", "pruned", "asks while it matters", "some")
    yield from _step(448, "Ask about what is not known", "of this query", "no", height=110)
    yield from _end(454, "some known", "partial", "asks about the others", "some")
    yield from _end(508, "none known", "fresh", "asks about all", "none")
    yield from _step(584, "The next rung of the ladder answers", "its scores are never stored", "slow, busy or failing")
    yield from _end(588, "", "degraded", "with a reason", "bad")
    yield line([(8, 660), (552, 660)], dashes="2 5")
    yield text(8, 686, "After the answer: scores that were made for this query are stored,", size=14)
    yield text(8, 706, "under this query alone. Scores taken from a near query never are,", size=14)
    yield text(8, 726, "so no error travels from query to query.", size=14)


def _step(y: float, words: str, how: str, came_by: str = "", *, height: float = 52) -> Iterator[str]:
    yield arrow([(158, y - 26), (158, y)]) + text(166, y - 8, came_by, colour="soft", size=13)
    middle = y + height / 2
    yield box(8, y, 300, height) + text(24, middle - 4, words) + text(24, middle + 16, how, colour="soft", size=13)


def _end(y: float, condition: str, name: str, cost: str, colour: str) -> Iterator[str]:
    """An arrow to the right, and the status that the answer then has."""
    yield arrow([(308, y + 22), (396, y + 22)])
    yield text(350, y + 15, condition, colour="soft", size=13, anchor="middle")
    yield box(396, y, 156, 44, colour, round_=22) + text(474, y + 19, name, anchor="middle", bold=True)
    yield text(474, y + 35, cost, anchor="middle", size=12)


# Cached and fresh scores of one verified request, best cached first; None was not asked about. Made up: real ones are
# in benchmarks/results/quality.md.
_CACHED = (9.0, 8.5, 7.8, 7.3, 7.0, 6.3, 5.4, 4.7, 3.7, 3.2, 2.8, 2.4)
_FRESH = (7.6, 7.9, 6.7, 5.6, 6.3, 4.8, 4.3, None, None, None, None, None)
_TOP_K = 3


def drift() -> str:
    """Cached scores, fresh ones, and why the rest need not be asked about."""
    return picture(
        "Drift and bound",
        "Twelve documents by cached score. The seven best-looking ones were scored for this query and lie about 1.3 "
        "lower: that is the drift. The other five are expected lower by as much, with a margin of z spreads; the "
        "margins end below the third-best fresh score, so that none of the five can be among the best three.",
        (560, 400),
        _drift(),
    )


def _drift() -> Iterator[str]:
    def x(number: float) -> float:
        return 56 + 41 * number

    def y(score: float) -> float:
        return 288 - 28 * score

    asked = [(cached, fresh) for cached, fresh in zip(_CACHED, _FRESH, strict=True) if fresh is not None]
    moves = sorted(fresh - cached for cached, fresh in asked)
    median = moves[len(moves) // 2]
    spread = 1.4826 * sorted(abs(move - median) for move in moves)[len(moves) // 2]
    bar = sorted((fresh for _, fresh in asked), reverse=True)[_TOP_K - 1]
    yield line([(36, 20), (36, 308), (548, 308)], width=1.2)
    yield text(40, 18, "score", colour="soft", size=13)
    yield text(548, 326, "documents, best cached score first", colour="soft", size=13, anchor="end")
    yield line([(36, y(bar)), (548, y(bar))], "mark", dashes="6 4")
    yield text(546, y(bar) - 8, f"the {_TOP_K}rd-best score for this query", colour="mark", size=13, anchor="end")
    for number, (cached, fresh) in enumerate(zip(_CACHED, _FRESH, strict=True)):
        at = x(number)
        yield dot(at, y(cached), is_full=False)
        if fresh is not None:
            yield line([(at, y(cached) + 6), (at, y(fresh) - 6)], dashes="2 3", width=1.2)
            yield dot(at, y(fresh), is_full=True)
        else:
            expected = cached + median
            yield whisker(at, y(expected + spread), y(expected - spread))
            yield box(at - 3.5, y(expected) - 3.5, 7, 7, "ink", round_=0)
    yield dot(20, 348, is_full=False) + text(34, 353, "cached, of a near query", size=13)
    yield dot(246, 348, is_full=True) + text(260, 353, "scored for this query: 7 pairs asked", size=13)
    yield whisker(20, 370, 386)
    yield text(34, 383, "expected: cached + drift, with its margin; below the line, so not asked", size=13)


def ladder() -> str:
    """The rungs of a ladder, and what leads from one to the next."""
    return picture(
        "The ladder of rerankers",
        "The primary reranker answers while its circuit breaker is closed, its queue is short, and it neither fails "
        "nor takes too long. Else the next rung answers, and in the end the retriever's order, which cannot fail. "
        "Every rung has a breaker of its own: closed, open, half-open.",
        (560, 352),
        _ladder(),
    )


def _ladder() -> Iterator[str]:
    rungs = (
        ("primary", "the cross-encoder or the service", "fresh, verified, ...", "good"),
        ("learned", "what its scores taught, without a model", "degraded", "some"),
        ("embedding", "cosine of query and document", "degraded", "some"),
        ("retrieval order", "the order of your retriever; cannot fail", "degraded, scores None", "none"),
    )
    for number, (name, what, result, colour) in enumerate(rungs):
        y = 8 + 92 * number
        yield box(8, y, 330, 60, colour) + text(24, y + 25, name, bold=True) + text(24, y + 46, what, size=13)
        yield text(352, y + 27, "answer:", colour="soft", size=13) + text(352, y + 46, result, size=14)
        if number < len(rungs) - 1:
            yield arrow([(60, y + 60), (60, y + 92)])
            reasons = "open, busy, deadline or error" if number == 0 else "open, deadline or error"
            yield text(72, y + 80, reasons, colour="soft", size=13)


PICTURES = {"flow": flow, "drift": drift, "ladder": ladder}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw())
