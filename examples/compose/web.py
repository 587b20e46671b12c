"""Says how many visits there were; the number is kept by the service `store`, a Redis server."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def visits():
    with socket.create_connection(("store", 6379), timeout=10) as store:
        store.sendall(b"INCR visits\r\n")
        return int(store.makefile("rb").readline().removeprefix(b":"))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"visit {visits()} from {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
