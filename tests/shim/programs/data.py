"""Moving bytes: flags, messages, files, pipes, ends."""
import array
import ctypes
import fcntl
import os
import signal
import socket
import struct
import tempfile
import threading
import time

from calls import attempt, libc, listener, pair, raw, read_all, show

signal.signal(signal.SIGPIPE, signal.SIG_IGN)
PAUSE = 0.05


def later(call):
    threading.Timer(0.1, call).start()


near, far = pair()
number = far.fileno()
near.send(b"hello world")
time.sleep(PAUSE)
show(far.recv(3, socket.MSG_PEEK), far.recv(3))
room = ctypes.create_string_buffer(100)
show(raw(libc.recv(number, room, 4, socket.MSG_TRUNC)), raw(libc.recv(number, room, 2, socket.MSG_TRUNC | socket.MSG_PEEK)), far.recv(100))
show(attempt(far.recvmsg, 10, 100, socket.MSG_ERRQUEUE), attempt(far.recv, 1, socket.MSG_OOB))
show(attempt(far.recv, 1, socket.MSG_DONTWAIT), attempt(far.recv, 0), attempt(far.recv, 0, socket.MSG_DONTWAIT))
show(attempt(near.sendto, b"abc", ("1.2.3.4", 5)), attempt(near.sendmsg, [b"d", b"ef"], [], 0, ("1.2.3.4", 9)))
time.sleep(PAUSE)
show(far.recvfrom(100))
for control in ((1, 99, b"1234"), (1, 1, array.array("i", [0]).tobytes()), (0, 99, b"1234")):
    show(attempt(near.sendmsg, [b"x"], [control]))
time.sleep(PAUSE)
show(far.recvmsg(10, 100, socket.MSG_CMSG_CLOEXEC))

later(lambda: near.send(b"4567890"))
near.send(b"123")
show(far.recv(10, socket.MSG_WAITALL))
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200000))
near.send(b"12")
show(far.recv(10, socket.MSG_WAITALL), attempt(far.recv, 1))
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5)
later(lambda: near.send(b"cdefgh"))
near.send(b"ab")
show(far.recv(100))
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Header(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p), ("name_len", ctypes.c_uint), ("parts", ctypes.POINTER(Part)),
        ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_len", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Message(ctypes.Structure):
    _fields_ = [("header", Header), ("len", ctypes.c_uint)]


def messages(buffers):
    made = (Message * len(buffers))()
    for message, buffer in zip(made, buffers):
        message.header.parts = (Part * 1)(Part(ctypes.addressof(buffer), len(buffer)))
        message.header.count = 1
    return made


sent = messages([ctypes.create_string_buffer(b"one", 3), ctypes.create_string_buffer(b"four", 4)])
show(raw(libc.sendmmsg(near.fileno(), sent, 2, 0)), [it.len for it in sent])
time.sleep(PAUSE)
rooms = [ctypes.create_string_buffer(4) for _ in range(3)]
got = messages(rooms)
show(raw(libc.recvmmsg(number, got, 3, 0x10000, None)), [it.len for it in got], [it.raw for it in rooms])
show(raw(libc.recvmmsg(number, got, 3, socket.MSG_DONTWAIT, None)))

show(attempt(os.pread, number, 1, 0), attempt(os.pwrite, number, b"x", 0), attempt(os.lseek, number, 0, 0))
show(attempt(os.preadv, number, [bytearray(1)], 0), attempt(os.pwritev, number, [b"1"], 0))
near.send(b"qwe")
time.sleep(PAUSE)
for offset, flags in ((-1, 0), (0, 0), (-2, 0), (-1, 8), (-1, 0x80)):
    part = (Part * 1)(Part(ctypes.addressof(room), 10))
    show(raw(libc.preadv2(number, part, 1, ctypes.c_long(offset), flags)), room.raw[:3])
near.send(b"zzzz")
time.sleep(PAUSE)
waiting = array.array("i", [0])
fcntl.ioctl(far, 0x541B, waiting)
show(waiting[0], libc.sockatmark(number), far.recv(10))
fcntl.ioctl(near, 0x5411, waiting)
show(waiting[0], attempt(fcntl.ioctl, far, 0x8915, b"lo" + bytes(38)), attempt(fcntl.ioctl, far, 0x5401, bytes(100)))

pattern = bytes(range(256)) * 4096
file = tempfile.TemporaryFile()
file.write(pattern)
file.flush()
file.seek(10)


def send_file(out, source, offset, count):
    if offset is None:
        return raw(libc.sendfile(out, source, None, ctypes.c_size_t(count)))
    place = ctypes.c_long(offset)
    result = raw(libc.sendfile(out, source, ctypes.byref(place), ctypes.c_size_t(count)))
    return result, place.value


show(send_file(near.fileno(), file.fileno(), 100, 1000), read_all(far, 1000) == pattern[100:1100])
show(send_file(near.fileno(), file.fileno(), None, 1000), os.lseek(file.fileno(), 0, 1), read_all(far, 1000) == pattern[10:1010])
show(send_file(near.fileno(), file.fileno(), len(pattern) - 5, 1000), len(read_all(far, 5)))
show(send_file(near.fileno(), file.fileno(), len(pattern), 1000), send_file(near.fileno(), file.fileno(), -5, 10))
show(send_file(file.fileno(), number, None, 10), send_file(near.fileno(), number, None, 10), send_file(near.fileno(), 999, None, 10))
reading, writing = os.pipe()
os.write(writing, b"pp")
show(send_file(near.fileno(), reading, None, 2), send_file(near.fileno(), os.open("/tmp", 0), None, 2))
whole = threading.Thread(target=lambda: send_file(near.fileno(), file.fileno(), 0, len(pattern)))
whole.start()
show(read_all(far, len(pattern)) == pattern)
whole.join()


def splice(source, target, count, flags=0):
    return raw(libc.splice(source, None, target, None, ctypes.c_size_t(count), flags))


reading, writing = os.pipe()
near.send(b"spliced")
time.sleep(PAUSE)
show(splice(number, writing, 100), os.read(reading, 100))
far.setblocking(False)
show(splice(number, writing, 100))
far.setblocking(True)
os.write(writing, b"into the pipe")
show(splice(reading, near.fileno(), 5), splice(reading, near.fileno(), 100))
time.sleep(PAUSE)
show(far.recv(100), splice(reading, near.fileno(), 10, 2))
show(splice(near.fileno(), number, 10), splice(near.fileno(), file.fileno(), 10), raw(libc.tee(number, writing, ctypes.c_size_t(1), 0)))
os.set_blocking(writing, False)
near.send(pattern[:90000])
time.sleep(0.2)
moved = 0
while moved < 60000:
    step = splice(number, writing, 200000, 2)
    if not isinstance(step, int):
        break
    moved += step
show(os.read(reading, moved) + read_all(far, 90000 - moved) == pattern[:90000])
os.close(writing)
show(splice(reading, near.fileno(), 10))

near.shutdown(socket.SHUT_WR)
time.sleep(PAUSE)
show(far.recv(5), attempt(near.send, b"x"), far.recv(5), attempt(far.send, b"back"), near.recv(10))
near.close()
for _ in range(2):
    time.sleep(PAUSE)
    show(attempt(far.send, b"1"))
show(attempt(far.recv, 1))
near, far = pair()
near.send(b"unread")
time.sleep(PAUSE)
far.close()
time.sleep(PAUSE)
show(attempt(near.recv, 10), attempt(near.send, b"1"))
near, far = pair()
near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 100000))
result = 1
while isinstance(result, int):
    result = attempt(near.send, b"x" * 100000)
show(result)
listening = listener()
early = socket.socket()
show(attempt(early.sendto, b"early", 0x20000000, listening.getsockname()), listening.accept()[0].recv(10))
