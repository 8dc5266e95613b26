"""The parts of a report: what was recorded, the charts, the page; knows no graph."""
