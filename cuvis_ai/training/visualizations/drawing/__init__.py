"""The drawings that pictures are made of: plain arrays in, a Matplotlib figure out."""
