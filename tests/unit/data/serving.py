"""A real server of files on this machine: with ranges, connections that drop, and failures."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does, and what it was asked.

    Attributes:
        content: Its one file.
        tag: The file's ETag; empty for a server that knows none, and no ranges.
        drops: Bytes after which the next connections are closed, one each.
        status: What every request is answered with, if it is no success.
        ranges: The ranges that were asked for; `None` for whole files.
    """

    content: bytes
    tag: str = '"one"'
    drops: list[int] = field(default_factory=list)
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serve a file at `served.address`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            asked = self.headers["Range"]
            served.ranges.append(asked)
            if served.status != 200:
                self.send_error(served.status)
                return
            resumes = asked and served.tag and self.headers["If-Range"] == served.tag
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if resumes else 0
            self.send_response(206 if resumes else 200)
            self.send_header("Content-Length", str(len(served.content) - start))
            if served.tag:
                self.send_header("ETag", served.tag)
            self.end_headers()
            end = start + served.drops.pop(0) if served.drops else len(served.content)
            self.wfile.write(served.content[start:end])

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    served.address = f"http://127.0.0.1:{running.server_port}/toy.zip"
    try:
        yield served
    finally:
        running.shutdown()
        running.server_close()
