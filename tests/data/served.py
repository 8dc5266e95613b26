"""A folder on a server on the loopback address, with and without ranges of bytes."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar


class Served(SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    asked: ClassVar[list[str]] = []
    """Paths."""
    n_sent: ClassVar[list[int]] = []
    """Bytes of each answer with content."""
    has_ranges = False

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        said = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if not file.is_file():
            super().do_GET()
            return
        content = file.read_bytes()
        start, stop = (int(said[1]), int(said[2]) + 1) if said and self.has_ranges else (0, len(content))
        part = content[start:stop]
        self.send_response(206 if said and self.has_ranges else 200)
        if said and self.has_ranges:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.n_sent.append(len(part))
        try:
            self.wfile.write(part)
        except OSError:  # who asks for a part and is sent all may leave
            self.close_connection = True


class WithRanges(Served):
    """Sends the range of bytes that is asked for."""

    has_ranges = True


class Refusing(Served):
    """Answers that access is forbidden."""

    def do_GET(self) -> None:
        self.send_error(403)

    def do_HEAD(self) -> None:
        self.send_error(403)


@contextmanager
def serving(folder: Path, handler: type[Served] = Served) -> Iterator[str]:
    """Serve a folder; yield the server's address."""
    Served.asked.clear()
    Served.n_sent.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
