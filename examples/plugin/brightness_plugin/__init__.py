"""A node, a file format and a monitor for cuvis_ai."""
