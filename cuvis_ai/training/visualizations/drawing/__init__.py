"""The drawings behind the pictures: plain arrays in, a Matplotlib figure out."""
