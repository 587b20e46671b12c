"""A program that means harm. It speaks to the broker by itself, byte by byte, and keeps to no rule:

hostile.py scribble ADDRESS PORT SECONDS   sessions to a listener; writes over all of their memory
hostile.py mute ADDRESS PORT SECONDS       sessions to a listener that it fills, and never reads from
hostile.py malformed SECONDS               messages that are none, with descriptors and without
hostile.py flood SECONDS                   requests without end, whose answers nobody takes
hostile.py hold SECONDS                    listeners and descriptors by the hundred, to keep
hostile.py deaf PORT SECONDS               a listener that never accepts
hostile.py reach ADDRESS PORT CLAIMED      tries every way to a listener, also as CLAIMED, another's address

Each prints one line at its end: what it did, and how often.
"""

import array
import ipaddress
import mmap
import os
import random
import socket
import struct
import sys
import time

BROKER = b"\0dockervpp/session"
VERSION = 2
REQUEST, REPLY = 64, 80
HEADER = 4096
LISTEN, CONNECT, RESUME, DESCRIBE = 1, 2, 3, 4
CONNECTED, PENDING, ACCEPT = 2, 3, 6
VIA_STACK = 2  # in place of a session with the listener itself: packets on the own network
STREAM, DATAGRAM = 1, 2
SO_COOKIE = 57


def packed(address):
    if address is None:
        return bytes(20)
    ip, port = ipaddress.ip_address(address[0]), address[1]
    return struct.pack("<BBH16s", ip.version, 0, port, ip.packed)


def request(kind, protocol=STREAM, first=None, second=None, backlog=0, flags=0, cookie=0):
    head = struct.pack("<4sHBBIB3xQ", b"dvsq", VERSION, kind, protocol, backlog, flags, cookie)
    return head + packed(first) + packed(second)


def cookie_of(near):
    return struct.unpack("Q", near.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]


class Broker:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)

    def send(self, message, descriptors=()):
        """Whether the broker took it."""
        control = []
        if descriptors:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self.socket.sendmsg([message], control, 0, BROKER)
            return True
        except OSError:
            return False


def received(near):
    """A reply's bytes and its descriptors; no bytes when none comes."""
    try:
        data, descriptors, _, _ = socket.recv_fds(near, REPLY, 4)
    except OSError:
        return b"", []
    return data, descriptors


def connect(broker, to, source=None, protocol=STREAM, sharing=0):
    """The kind of the answer (`PENDING` also where packets go out on the own network and nobody has answered),
    the socket, the memory. `sharing` is the number under which sessions to one listener share a memory; its
    low half lies where the backlog of a listener does."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.settimeout(5)
    message = request(CONNECT, protocol, to, source, backlog=sharing, cookie=cookie_of(near))
    if not broker.send(message, [far.fileno()]):
        return 0, near, None
    far.close()
    data, descriptors = received(near)
    if len(data) == REPLY and data[6] == PENDING:
        data, descriptors = received(near)
    kind = data[6] if len(data) == REPLY else 0
    memory = descriptors[0] if kind == CONNECTED else None
    if memory is not None and data[18] == VIA_STACK:
        kind = PENDING
    return kind, near, memory


def until(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def scribble(address, port, seconds):
    broker, done, held = Broker(), 0, []
    for _ in until(seconds):
        kind, near, memory = connect(broker, (address, port), sharing=random.randrange(3))
        if memory is None:
            continue
        size = os.fstat(memory).st_size
        view = mmap.mmap(memory, size)
        near.setblocking(False)
        for step in range(200):
            # Tails, heads and flags of both directions, the magic number, and what is in the rings.
            if step % 4 == 0:
                at = random.randrange(HEADER // 8) * 8
                view[at : at + 8] = random.choice(
                    [os.urandom(8), bytes(8), b"\xff" * 8, struct.pack("<Q", random.randrange(size))]
                )
            elif step % 4 == 1:
                block = random.choice([0x100, 0x400]) + random.choice([0, 8, 64, 72, 76, 80, 128, 192])
                view[block : block + 8] = struct.pack("<Q", random.randrange(1 << 20))
            else:
                at = random.randrange(HEADER, size - 64)
                view[at : at + 64] = os.urandom(64)
            try:
                near.send(os.urandom(random.randrange(1, 9)))
            except OSError:
                break
        # Some are left as they are, some go at once, some shrink or seal what they share.
        how = done % 3
        if how == 0:
            held.append((near, view))
            held = held[-50:]
        elif how == 1:
            near.close()
        else:
            for harm in (lambda: os.ftruncate(memory, 0), lambda: os.ftruncate(memory, 1 << 30)):
                try:
                    harm()
                except OSError:
                    pass
            near.close()
        os.close(memory)
        done += 1
    print("scribbled", done, flush=True)


def mute(address, port, seconds):
    broker, held = Broker(), []
    for _ in until(seconds):
        if len(held) == 100:
            time.sleep(0.05)
            continue
        kind, near, memory = connect(broker, (address, port))
        if memory is None:
            continue
        view = mmap.mmap(memory, os.fstat(memory).st_size)
        # A full ring of the direction that the connecting side writes.
        size = struct.unpack_from("<I", view, 12)[0]
        view[0x100:0x108] = struct.pack("<Q", size)
        near.send(b"\0")
        held.append((near, view))
        os.close(memory)
    print("muted", len(held), flush=True)


def malformed(seconds):
    broker, done = Broker(), 0
    null = os.open("/dev/null", os.O_RDWR)
    for _ in until(seconds):
        whole = bytearray(request(random.randrange(8), random.randrange(4), ("10.0.0.1", 80)))
        for _ in range(random.randrange(6)):
            whole[random.randrange(len(whole))] = random.randrange(256)
        message = bytes(whole[: random.choice([0, 1, 7, 63, REQUEST, REQUEST, REQUEST])])
        message = random.choice([message, message + os.urandom(random.randrange(2000))])
        near, far = socket.socketpair(socket.AF_UNIX, random.choice([1, 2, 5]))
        some = random.choice([[], [far.fileno()], [null], [null, far.fileno()], [far.fileno()] * 8])
        done += broker.send(message, some)
        near.close()
        far.close()
    print("malformed", done, flush=True)


def flood(seconds):
    broker, done = Broker(), 0
    broker.socket.setblocking(False)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    # The answers' socket is full and stays so.
    far.setblocking(False)
    try:
        while True:
            far.send(bytes(4096))
    except BlockingIOError:
        pass
    kinds = [
        request(DESCRIBE),
        request(RESUME),
        request(CONNECT, STREAM, ("10.255.255.1", 1)),
        request(LISTEN, STREAM, ("0.0.0.0", 1), backlog=1 << 30, cookie=1),
    ]
    for _ in until(seconds):
        for kind in kinds:
            done += broker.send(kind, [far.fileno()])
    print("flooded", done, flush=True)


def hold(seconds):
    broker, held = Broker(), []
    for port in range(1, 2001):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message = request(LISTEN, STREAM, ("0.0.0.0", port), backlog=4096, cookie=cookie_of(near))
        # As many descriptors as a message may have, of which the broker wants one.
        broker.send(message, [far.fileno()] * random.choice([1, 2, 200]))
        far.close()
        held.append(near)
        if len(held) > 400:
            break
    time.sleep(seconds)
    print("held", len(held), flush=True)


def deaf(port, seconds):
    broker = Broker()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    message = request(LISTEN, STREAM, ("0.0.0.0", port), backlog=2, cookie=cookie_of(near))
    broker.send(message, [far.fileno()])
    far.close()
    print("listening", flush=True)
    time.sleep(seconds)
    print("deaf", 1, flush=True)


def reach(address, port, claimed):
    broker, reached = Broker(), 0
    for protocol in (STREAM, DATAGRAM):
        for source in (None, (claimed, 0), (claimed, 4000), (address, 0), (address, port)):
            kind, near, memory = connect(broker, (address, port), source, protocol)
            if kind == CONNECTED:
                reached += 1
            if memory is not None:
                near.send(b"\0")
    # Somebody else's session by its number or its cookie: the broker goes by the socket alone.
    for cookie in range(1, 200):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        near.settimeout(0.02)
        broker.send(request(RESUME, cookie=cookie), [near.fileno(), far.fileno()])
        data, descriptors = received(near)
        reached += bool(descriptors)
    # And a listener on another's address.
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.settimeout(5)
    for where in (claimed, address):
        message = request(LISTEN, STREAM, (where, port), backlog=4, cookie=cookie_of(near))
        broker.send(message, [far.fileno()])
        data, _ = received(near)
        reached += len(data) == REPLY and data[6] == 1
    print("reached", reached, flush=True)


kind, arguments = sys.argv[1], sys.argv[2:]
if kind in ("scribble", "mute"):
    {"scribble": scribble, "mute": mute}[kind](arguments[0], int(arguments[1]), float(arguments[2]))
elif kind == "deaf":
    deaf(int(arguments[0]), float(arguments[1]))
elif kind == "reach":
    reach(arguments[0], int(arguments[1]), arguments[2])
else:
    {"malformed": malformed, "flood": flood, "hold": hold}[kind](float(arguments[0]))
