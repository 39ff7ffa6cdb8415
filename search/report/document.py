"""The frame of a page: styles, scripts and figures inside, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from search.report.figures import Figure
from search.report.style import CSS, SCRIPT


def document(title: str, sections: Sequence[str], figures: Mapping[str, Figure]) -> str:
    """Returns a page, complete in itself, of sections of HTML and of the figures that have boxes in them, by name."""
    from plotly.offline import get_plotlyjs  # a slow import, needed here alone

    script = get_plotlyjs().replace("</script", "<\\/script")
    payload = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head><body><main>{''.join(sections)}</main><script>{script}</script>"
        f'<script type="application/json" id="figures">{payload}</script><script>{SCRIPT}</script>'
        "</body></html>\n"
    )
