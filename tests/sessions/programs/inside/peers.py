"""Two peers whose bytes carry their own proof.

peers.py serve PORT               echoes streams and datagrams, IPv4 and IPv6
peers.py stream ADDRESS PORT N    sends N random bytes and compares what comes back
peers.py datagrams ADDRESS PORT N sends N datagrams of all lengths up to 1400 bytes, one after the other;
                                  one that is lost is sent again
peers.py closed ADDRESS PORT      a connect is refused at once, and so is a connected datagram socket
peers.py closed-stream ADDRESS PORT  the former only
peers.py hold ADDRESS PORT        connects, says "connected", keeps asking, and says how the connection ends
"""

import os
import random
import socket
import sys
import threading
import zlib

CHUNK = 1 << 16
TRIES = 10


def echo(connection):
    with connection:
        while True:
            data = connection.recv(CHUNK)
            if not data:
                return
            connection.sendall(data)


def echo_datagrams(bound):
    while True:
        data, peer = bound.recvfrom(CHUNK)
        bound.sendto(data, peer)


def serve(port):
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", port))
    threading.Thread(target=echo_datagrams, args=(datagrams,), daemon=True).start()
    streams = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    print("serving", flush=True)
    while True:
        connection, _ = streams.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def stream(address, port, count):
    sent = os.urandom(count)
    with socket.create_connection((address, port), timeout=60) as connection:

        def send():
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while data := connection.recv(CHUNK):
            received += data
        sender.join()
    if received != sent:
        sys.exit(f"{len(received)} of {count} bytes, or wrong ones, came back")
    print(zlib.crc32(sent))


def datagrams(address, port, count):
    asks = socket.socket(family(address), socket.SOCK_DGRAM)
    asks.settimeout(1)
    for number in range(count):
        data = number.to_bytes(4, "big") + os.urandom(random.randrange(1393))
        data += zlib.crc32(data).to_bytes(4, "big")
        for _ in range(TRIES):
            asks.sendto(data, (address, port))
            try:
                while True:
                    answer, peer = asks.recvfrom(CHUNK)
                    if peer[:2] != (address, port):
                        sys.exit(f"an answer of {peer}")
                    # An answer to an earlier try may come late.
                    if answer[:4] == data[:4]:
                        break
            except TimeoutError:
                continue
            if answer != data:
                sys.exit(f"datagram {number} came back changed")
            break
        else:
            sys.exit(f"datagram {number} was lost {TRIES} times")
    print(f"{count} datagrams")


def closed_stream(address, port):
    try:
        socket.create_connection((address, port), timeout=20)
        sys.exit("somebody listens")
    except ConnectionRefusedError:
        print("refused")


def closed(address, port):
    closed_stream(address, port)
    asks = socket.socket(family(address), socket.SOCK_DGRAM)
    asks.connect((address, port))
    asks.settimeout(1)
    for _ in range(TRIES):
        try:
            asks.send(b"is anybody there?")
            asks.recv(CHUNK)
            sys.exit("somebody answers")
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            print("refused")
            return
    sys.exit("datagrams are not refused")


def hold(address, port):
    connection = socket.create_connection((address, port), timeout=20)
    connection.sendall(b"x")
    connection.recv(1)
    print("connected", flush=True)
    connection.settimeout(0.2)
    try:
        while True:
            try:
                if not connection.recv(1):
                    break
            except TimeoutError:
                connection.sendall(b"x")
        print("end", flush=True)
    except (ConnectionResetError, BrokenPipeError):
        print("reset", flush=True)


kind, *rest = sys.argv[1:]
if kind == "serve":
    serve(int(rest[0]))
elif kind == "hold":
    hold(rest[0], int(rest[1]))
elif kind == "closed-stream":
    closed_stream(rest[0], int(rest[1]))
elif kind == "closed":
    closed(rest[0], int(rest[1]))
elif kind == "stream":
    stream(rest[0], int(rest[1]), int(rest[2]))
elif kind == "datagrams":
    datagrams(rest[0], int(rest[1]), int(rest[2]))
else:
    sys.exit(f"unknown kind {kind}")
