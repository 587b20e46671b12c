"""What signals do to blocked calls, with handlers that restart them and handlers that do not."""
import ctypes
import errno
import signal
import socket
import struct
import threading
import time

from calls import libc, listener, pair, show

# A handler of the interpreter itself restarts nothing: handlers of both kinds are another matter.
signal.signal(signal.SIGINT, signal.SIG_DFL)
hits = []
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(hits.append)
SA_RESTART = 0x10000000
large = ctypes.create_string_buffer(4 << 20)


class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]


def install(number, restart):
    action = Action(handler=ctypes.cast(handler, ctypes.c_void_p).value, flags=SA_RESTART if restart else 0)
    libc.sigaction(number, ctypes.byref(action), None)


def interrupted(what, restart, call, then):
    """Calls, has a signal come, and lets the call succeed long after that."""
    install(signal.SIGALRM, restart)
    hits.clear()
    timer = threading.Timer(0.5, then)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    timer.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    libc.setitimer(0, struct.pack("llll", 0, 0, 0, 100000), None)
    result = call()
    error = errno.errorcode[ctypes.get_errno()] if result < 0 else ""
    show(what, restart, "much" if result > 100000 else result, error, len(hits))
    timer.join()


def full():
    near, far = pair()
    near.setblocking(False)
    # What the other end's kernel takes shows only after a moment: full is full for long.
    refusals = 0
    while refusals < 20:
        try:
            near.send(b"x" * (100000 if refusals == 0 else 1))
            refusals = 0
        except BlockingIOError:
            refusals += 1
            time.sleep(0.03 if refusals > 1 else 0)
    near.setblocking(True)
    return near, far


def drain(end):
    end.settimeout(1)
    try:
        while end.recv(1 << 20):
            pass
    except TimeoutError:
        pass


room = ctypes.create_string_buffer(10)
for restart in (False, True):
    near, far = pair()
    interrupted("recv", restart, lambda: libc.recv(far.fileno(), room, 10, 0), lambda: near.send(b"x"))
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    interrupted("recv with timeout", restart, lambda: libc.recv(near.fileno(), room, 10, 0), lambda: far.send(b"x"))
    near, far = full()
    interrupted("send", restart, lambda: libc.send(near.fileno(), large, len(large), 0), lambda: drain(far))
    near, far = full()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
    interrupted("send with timeout", restart, lambda: libc.send(near.fileno(), large, len(large), 0), lambda: drain(far))
    listening = listener()
    name = listening.getsockname()
    interrupted("accept", restart, lambda: min(libc.accept(listening.fileno(), None, None), 1), lambda: socket.create_connection(name))

near, far = pair()
far.close()
time.sleep(0.1)
install(signal.SIGPIPE, True)
near.send(b"1")
time.sleep(0.1)
for flags in (0, socket.MSG_NOSIGNAL):
    hits.clear()
    show(libc.send(near.fileno(), room, 1, flags), errno.errorcode[ctypes.get_errno()], list(hits))
