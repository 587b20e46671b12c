"""Options of connected sockets and listeners: values, lengths, ranges, errors, inheritance."""
import socket
import struct
import time

from calls import ADDRESS, attempt, show

listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0))
listening.bind((ADDRESS, 0))
listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
listening.listen(5)
listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 44)
near = socket.socket()
near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30000)
near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 9)
near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
near.connect(listening.getsockname())
far, _ = listening.accept()

# Numbers: names differ between versions of Python. Left out is what no two connections share
# (cookies, times, congestion), and what docs/shim.md says is different.
SOCKET = [1, 2, 3, 4, 5, 6, 9, 10, 12, 13, 16, 17, 18, 19, 20, 21, 29, 30, 31, 34, 36, 38, 39, 40, 41, 44, 45, 46, 66, 67]
TCP = [1, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 18, 22, 25, 30, 36]
IP = [1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 18, 19, 20, 24]
for name, end in (("near", near), ("far", far), ("listener", listening)):
    for level, options in ((1, SOCKET), (6, TCP), (0, IP)):
        for option in options:
            show(name, level, option, attempt(end.getsockopt, level, option, 64))
show(near.getsockopt(1, 7))

SETTABLE = [(1, 2), (1, 9), (1, 10), (1, 12), (1, 16), (1, 18), (1, 25), (1, 27), (1, 29), (1, 99)]
SETTABLE += [(6, 1), (6, 3), (6, 4), (6, 5), (6, 6), (6, 7), (6, 8), (6, 9), (6, 12), (6, 16), (6, 18), (6, 25), (6, 99)]
SETTABLE += [(0, 1), (0, 2), (0, 10), (0, 11), (0, 24), (0, 99), (41, 67)]
for name, end in (("near", near), ("far", far)):
    for level, option in SETTABLE:
        for value in (-1, 0, 1, 2, 7, 200, 70000, b"\1", b"\1\0\0\0\0\0\0\0"):
            done = attempt(end.setsockopt, level, option, value)
            show(name, level, option, value, done, attempt(end.getsockopt, level, option, 64))
            show(attempt(end.getsockopt, level, option, 1))
show(attempt(near.setsockopt, 6, 13, b"reno"), near.getsockopt(6, 13, 16))
show(attempt(near.setsockopt, 6, 13, b"nothing"), near.getsockopt(6, 13, 3))

near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
far.settimeout(5)
near.close()
time.sleep(0.1)
show(attempt(far.recv, 10), attempt(far.recv, 10), attempt(far.send, b"1"), far.getsockopt(1, 4))
