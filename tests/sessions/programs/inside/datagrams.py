"""UDP in the ways that programs use it: datagrams.py echo ADDRESS PORT, or datagrams.py ask ADDRESS PORT.

echo  answers every datagram with itself, from one socket that is not connected
ask   sends datagrams of every size to it and checks each answer: its bytes, its sender, its boundaries
"""

import errno
import os
import select
import socket
import sys

# Nothing, one byte, below and above one frame, the most that IPv4 and IPv6 take.
SIZES = [0, 1, 8, 512, 1472, 1473, 9000, 65507]
LONGEST_OF_IPV6 = 65527

SOON = 10


def sizes(address):
    return SIZES + [LONGEST_OF_IPV6] if ":" in address else SIZES


def made(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.settimeout(SOON)
    return bound


def echo(address, port):
    bound = made(address)
    bound.settimeout(None)
    bound.bind((address, port))
    while True:
        data, sender = bound.recvfrom(70000)
        bound.sendto(data, sender)


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {str(got)[:99]} is not {str(wanted)[:99]}")


def unconnected(address, port):
    """Each answer comes from where the question went."""
    asking = made(address)
    for size in sizes(address):
        data = os.urandom(size)
        asking.sendto(data, (address, port))
        try:
            got, sender = asking.recvfrom(70000)
        except socket.timeout:
            sys.exit(f"unconnected, {size} bytes: no answer")
        check(f"unconnected, {size} bytes", got, data)
        check("the sender", sender[:2], (address, port))


def connected(address, port):
    asking = made(address)
    asking.connect((address, port))
    check("getpeername", asking.getpeername()[:2], (address, port))
    for size in sizes(address):
        data = os.urandom(size)
        check("send", asking.send(data), size)
        check(f"connected, {size} bytes", asking.recv(70000), data)
    # A datagram that is cut leaves nothing behind.
    asking.send(b"longer than the buffer")
    check("a cut datagram", asking.recv(6), b"longer")
    asking.send(b"next")
    check("the one behind it", asking.recv(70000), b"next")


def several(address, port):
    """Twenty sockets ask before the first looks for its answer, which `poll` tells of."""
    asking = {}
    poll = select.poll()
    for number in range(20):
        one = made(address)
        one.setblocking(False)
        data = b"socket %d" % number
        one.sendto(data, (address, port))
        asking[one.fileno()] = one, data
        poll.register(one, select.POLLIN)
    while asking:
        ready = poll.poll(SOON * 1000)
        if not ready:
            sys.exit(f"{len(asking)} sockets hear nothing")
        for number, _ in ready:
            one, data = asking.pop(number)
            poll.unregister(one)
            check("the answer of a socket of many", one.recv(100), data)
            one.close()


def duplicated(address, port):
    """A socket under two descriptors is one socket, also when the first one is closed."""
    first = made(address)
    first.connect((address, port))
    first.send(b"by the first")
    second = first.dup()
    second.settimeout(SOON)
    check("by the duplicate", second.recv(100), b"by the first")
    first.close()
    second.send(b"by the second")
    check("after closing the first", second.recv(100), b"by the second")


def forked(address, port):
    """What a child asks, its parent may hear."""
    asking = made(address)
    asking.connect((address, port))
    asking.send(b"parent")
    check("the parent's", asking.recv(100), b"parent")
    child = os.fork()
    if child == 0:
        asking.send(b"child")
        os._exit(0)
    check("the child's exit", os.waitpid(child, 0)[1], 0)
    check("the child's", asking.recv(100), b"child")


def refused(address, port):
    """Who asks where nobody listens is told, by the call that comes next."""
    asking = made(address)
    asking.connect((address, port + 1))
    poll = select.poll()
    poll.register(asking, select.POLLIN)
    for told_by in (lambda: asking.recv(100), lambda: asking.send(b"hello?"), None):
        asking.send(b"anybody?")
        if not poll.poll(SOON * 1000):
            sys.exit("nothing tells that nobody listens")
        if told_by is None:
            error = asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            check("SO_ERROR", error, errno.ECONNREFUSED)
            continue
        try:
            told_by()
            sys.exit("nobody listens, but somebody answers")
        except ConnectionRefusedError:
            pass


kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "echo":
    echo(address, port)
elif kind == "ask":
    for way in (unconnected, connected, several, duplicated, forked, refused):
        way(address, port)
else:
    sys.exit(f"unknown kind {kind}")
