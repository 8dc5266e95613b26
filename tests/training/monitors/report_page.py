"""Reads back a report's page: its tables, images and charts, and whatever it would fetch."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np

SVG = "http://www.w3.org/2000/svg"
MADE = re.compile(r"(figure|axes|patch|line2d|matplotlib\.axis|xtick|ytick|text|legend)_\d+$")
"""Identifiers that Matplotlib gives; the others are names of lines."""


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


def lines(svg):
    """Return the points of each line of a chart, in its own units, by the line's name."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{{{SVG}}}g"):
        path = group.find(f"{{{SVG}}}path")
        if path is not None and group.get("id") and not MADE.match(group.get("id")):
            numbers = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path.get("d"))
            found[group.get("id")] = np.array(numbers, dtype=float)
    return found
