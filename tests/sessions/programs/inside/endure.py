"""Streams that check every byte both ways, and connections in great number.

endure.py serve PORT                     a process for each connection; each prints one line at its end
endure.py stream ADDRESS PORT BYTES      sends and checks so many bytes, then ends; prints a line
endure.py loop ADDRESS PORT COUNT        opens, uses and closes one connection after the other
endure.py hold ADDRESS PORT COUNT        opens so many, uses all of them, and closes when told to (stdin)
endure.py echo PORT                      one process, one epoll: echoes what comes

Every direction of a stream starts with eight bytes that choose its content. Then come numbered blocks,
so that a byte that is lost, doubled, out of place or another stream's is found where it is.
"""

import os
import random
import select
import signal
import socket
import sys

BLOCK = 1 << 16
HELLO = 8


class Content:
    """What the bytes of a direction must be."""

    def __init__(self, hello):
        self.payload = random.Random(hello).randbytes(2 * BLOCK)
        self.number, self.rest = 0, memoryview(b"")

    def next(self):
        """The bytes that come next; `took` says how many of them went."""
        if not self.rest:
            offset = self.number * 7919 % BLOCK
            head = self.number.to_bytes(8, "little")
            self.rest = memoryview(head + self.payload[offset : offset + BLOCK - 8])
            self.number += 1
        return self.rest

    def took(self, count):
        self.rest = self.rest[count:]


class Wrong(Exception):
    pass


def check(content, data):
    data = memoryview(data)
    while data:
        expected = content.next()
        count = min(len(expected), len(data))
        if data[:count] != expected[:count]:
            at = next(i for i in range(count) if data[i] != expected[i])
            position = content.number * BLOCK - len(expected) + at - BLOCK
            raise Wrong(f"byte {position} is wrong")
        content.took(count)
        data = data[count:]


def converse(connection, limit):
    """Both directions at once, until `limit` bytes were sent and the peer ended, or the peer is gone.
    Answers how it ended, and the bytes of each direction."""
    hello = os.urandom(HELLO)
    connection.sendall(hello)
    theirs = connection.recv(HELLO, socket.MSG_WAITALL)
    if len(theirs) < HELLO:
        return "gone", 0, 0
    mine, peer = Content(hello), Content(theirs)
    connection.setblocking(False)
    sent = received = 0
    writing = True
    while True:
        readable, writable, _ = select.select([connection], [connection] if writing else [], [])
        try:
            if readable:
                data = connection.recv(BLOCK)
                if not data:
                    return ("ended" if not writing else "gone"), sent, received
                check(peer, data)
                received += len(data)
            if writable:
                part = mine.next()
                if limit is not None:
                    part = part[: limit - sent]
                count = connection.send(part)
                mine.took(count)
                sent += count
                if sent == limit:
                    connection.shutdown(socket.SHUT_WR)
                    writing = False
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            return "gone", sent, received


def listener(port):
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("0.0.0.0", port))
    bound.listen(4096)
    return bound


def answer(connection):
    """The server's half: as many bytes as the client wants to have, which it says by ending."""
    try:
        how, sent, received = converse(connection, None)
    except Wrong as wrong:
        how, sent, received = f"WRONG: {wrong}", 0, 0
    print(how, sent, received, flush=True)


def serve(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    bound = listener(port)
    while True:
        connection, _ = bound.accept()
        if os.fork() == 0:
            bound.close()
            answer(connection)
            os._exit(0)
        connection.close()


def stream(address, port, size):
    with socket.create_connection((address, port)) as connection:
        try:
            how, sent, received = converse(connection, size)
        except Wrong as wrong:
            sys.exit(f"WRONG: {wrong}")
    print(how, sent, received, flush=True)


def use(connection, number):
    text = number.to_bytes(4, "big") * 8
    connection.sendall(text)
    back = connection.recv(len(text), socket.MSG_WAITALL)
    if back != text:
        sys.exit(f"WRONG: connection {number}: {back!r}")


def loop(address, port, count):
    for number in range(count):
        with socket.create_connection((address, port)) as connection:
            use(connection, number)
    print(f"{count} came and went", flush=True)


def hold(address, port, count):
    held = [socket.create_connection((address, port)) for _ in range(count)]
    for number, connection in enumerate(held):
        use(connection, number)
    print(f"{count} held", flush=True)
    sys.stdin.readline()
    for number, connection in enumerate(held):
        use(connection, number)
        connection.close()
    print("closed", flush=True)


def echo(port):
    bound = listener(port)
    bound.setblocking(False)
    events = select.epoll()
    events.register(bound, select.EPOLLIN)
    connections = {}
    while True:
        for number, _ in events.poll():
            if number == bound.fileno():
                try:
                    connection, _ = bound.accept()
                except (BlockingIOError, ConnectionError):
                    continue
                connections[connection.fileno()] = connection
                events.register(connection, select.EPOLLIN)
                continue
            connection = connections[number]
            try:
                data = connection.recv(BLOCK)
            except ConnectionError:
                data = b""
            if data:
                connection.sendall(data)
            else:
                events.unregister(number)
                del connections[number]
                connection.close()


kind, arguments = sys.argv[1], sys.argv[2:]
if kind in ("serve", "echo"):
    {"serve": serve, "echo": echo}[kind](int(arguments[0]))
else:
    {"stream": stream, "loop": loop, "hold": hold}[kind](arguments[0], *map(int, arguments[1:]))
