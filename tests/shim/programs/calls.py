"""What the programs share: connected pairs, and calls whose outcome is printed."""
import ctypes
import errno
import socket

ADDRESS = "10.77.0.1"
libc = ctypes.CDLL(None, use_errno=True)


def listener():
    """A listening socket on a port of the kernel's choice."""
    listening = socket.socket()
    listening.bind((ADDRESS, 0))
    listening.listen(16)
    return listening


def pair():
    """Both ends of a connection."""
    listening = listener()
    near = socket.create_connection(listening.getsockname())
    far, _ = listening.accept()
    listening.close()
    return near, far


def attempt(call, *arguments):
    """The result, or the name of the error."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def raw(result):
    """The result of a C call, or the name of the error."""
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def show(*values):
    print(*values, flush=True)


def read_all(end, count):
    """`count` bytes, fewer at the end of the stream."""
    parts = []
    while count > 0:
        part = end.recv(count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
