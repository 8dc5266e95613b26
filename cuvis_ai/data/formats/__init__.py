"""One file a cube format; each says in a constant `FORMAT` what it reads."""
