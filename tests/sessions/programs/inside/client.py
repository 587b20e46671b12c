"""client.py ADDRESS PORT CONNECTIONS BYTES: sends so many bytes over each connection, all of them at
once, and compares what an echo server sends back."""

import os
import socket
import sys
import threading

address, port, connections, size = sys.argv[1], *map(int, sys.argv[2:5])
failures = []


def send(connection, data):
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def run():
    try:
        data = os.urandom(size)
        with socket.create_connection((address, port), timeout=60) as connection:
            sender = threading.Thread(target=send, args=(connection, data))
            sender.start()
            parts = []
            while part := connection.recv(50000):
                parts.append(part)
            sender.join()
        back = b"".join(parts)
        if back != data:
            same = next((i for i, (a, b) in enumerate(zip(back, data)) if a != b), min(len(back), len(data)))
            failures.append(f"{len(back)} of {len(data)} bytes came back, equal up to {same}")
    except Exception as error:
        failures.append(repr(error))


threads = [threading.Thread(target=run) for _ in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit("\n".join(failures))
print(f"{connections} connections, {connections * size} bytes came back")
