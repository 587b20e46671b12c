"""Echo servers in the ways that Python programs are written: servers.py KIND PORT.

asyncio   one process, one epoll
forking   socketserver.ForkingTCPServer: a process for each connection
prefork   four processes accept on one inherited listener
passing   one process accepts and passes each descriptor to one of three workers (SCM_RIGHTS)
"""

import asyncio
import os
import signal
import socket
import socketserver
import sys

CHUNK = 1 << 16


def echo(connection):
    """Sends back what comes until the end of it."""
    with connection:
        while True:
            data = connection.recv(CHUNK)
            if not data:
                return
            connection.sendall(data)


def listener(port):
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("0.0.0.0", port))
    bound.listen(128)
    return bound


async def handle(reader, writer):
    while True:
        data = await reader.read(CHUNK)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def serve_asyncio(port):
    server = await asyncio.start_server(handle, "0.0.0.0", port, backlog=128)
    async with server:
        await server.serve_forever()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        echo(self.request)


class Forking(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    max_children = 200


def serve_prefork(port):
    bound = listener(port)
    for _ in range(4):
        if os.fork() == 0:
            while True:
                connection, _ = bound.accept()
                echo(connection)
    signal.pause()


def serve_passing(port):
    bound = listener(port)
    workers = []
    for _ in range(3):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.fork() == 0:
            bound.close()
            near.close()
            while True:
                _, (number,), _, _ = socket.recv_fds(far, 1, 1)
                connection = socket.socket(fileno=number)
                # One thing at a time is not enough: clients keep connections open.
                if os.fork() == 0:
                    echo(connection)
                    os._exit(0)
                connection.close()
        far.close()
        workers.append(near)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    turn = 0
    while True:
        connection, _ = bound.accept()
        socket.send_fds(workers[turn % len(workers)], [b"c"], [connection.fileno()])
        connection.close()
        turn += 1


kind, port = sys.argv[1], int(sys.argv[2])
if kind == "asyncio":
    asyncio.run(serve_asyncio(port))
elif kind == "forking":
    with Forking(("0.0.0.0", port), Handler) as server:
        server.serve_forever()
elif kind == "prefork":
    serve_prefork(port)
elif kind == "passing":
    serve_passing(port)
else:
    sys.exit(f"unknown kind {kind}")
