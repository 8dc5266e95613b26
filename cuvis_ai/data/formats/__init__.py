"""One file a cube format; each offers `read(path, key) -> CubeContents`."""
