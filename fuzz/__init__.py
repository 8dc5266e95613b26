"""Programs that look for inputs on which the package misbehaves; run one with `python -m fuzz.<name>`."""
