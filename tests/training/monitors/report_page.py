"""Reads back a report's page: its tables, images and charts, and whatever it would fetch."""

import json
import re
from html.parser import HTMLParser


class Tables(HTMLParser):
    """Collects the rows of tables, the images, and whatever would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.fetched, self.titles = [], [], [], []
        self._cell = False
        self._title = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._cell, self._title = tag in ("td", "th"), tag in ("h1", "h2")
        if tag == "img":
            self.images.append(attributes)
        self.fetched += [
            attributes[key]
            for key in ("src", "href")
            if not (attributes.get(key) or "data:").startswith("data:")
        ]

    def handle_endtag(self, tag):
        self._cell = self._title = False

    def handle_data(self, text):
        if self._cell:
            self.rows[-1][-1] += text
        if self._title:
            self.titles.append(text)


def traces(text):
    """Return what Plotly is told to draw."""
    return [
        trace
        for found in re.findall(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"', text, re.DOTALL)
        for trace in json.loads(found)
    ]
