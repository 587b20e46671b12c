"""Forking, executing, passing descriptors, closing what is not known."""
import os
import socket
import subprocess
import sys
import threading
import time

from calls import ADDRESS, listener, pair, read_all, show

# A shell and what it starts share a connection with their parent, one after the other.
near, far = pair()
near.send(b"line\n")
show(subprocess.run(["sh", "-c", "read x; echo got $x"], stdin=far, stdout=far).returncode, read_all(near, 9))
far.send(b"parent again")
near.send(b"to the parent")
show(read_all(near, 12), read_all(far, 13))
script = "echo one; /bin/echo two; head -c 600000 /dev/zero | tr '\\0' z; echo three"
child = threading.Thread(target=lambda: subprocess.run(["sh", "-c", script], stdout=far))
child.start()
show(read_all(near, 600014) == b"one\ntwo\n" + b"z" * 600000 + b"three\n")
child.join()
far.close()
show(near.recv(1))

near, far = pair()
near.send(b"abcde")
code = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
print(end.family, end.getsockname()[0], end.getpeername()[0])
end.sendall(end.recv(5)[::-1])
"""
ran = subprocess.run([sys.executable, "-c", code, str(far.fileno())], pass_fds=[far.fileno()], capture_output=True)
show(ran.stdout, ran.stderr, read_all(near, 5))
near, far = pair()
child = subprocess.Popen(["sh", "-c", "sleep 0.3; echo bye"], stdout=far)
far.close()
show(read_all(near, 100))
child.wait()

# A listener is inherited over exec, while its first holder lives and when that is gone.
code = """
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
print(listening.getsockname()[0], listening.getsockopt(1, 30), flush=True)
end, _ = listening.accept()
end.sendall(b"served by the child")
"""
listening = listener()
name = listening.getsockname()
for keep in (True, False):
    number = str(listening.fileno())
    child = subprocess.Popen([sys.executable, "-c", code, number], pass_fds=[listening.fileno()], stdout=subprocess.PIPE)
    show(child.stdout.readline())
    if not keep:
        listening.close()
    show(read_all(socket.create_connection(name), 100))
    child.wait()

# Accepted connections are passed to a worker; what was read before stays read.
ours, theirs = socket.socketpair()
worker = os.fork()
if worker == 0:
    ours.close()
    for at in range(3):
        _, numbers, _, _ = socket.recv_fds(theirs, 10, 1)
        with socket.socket(fileno=numbers[0]) as end:
            end.sendall(b"worker %d: " % at + end.recv(20))
    os._exit(0)
theirs.close()
for _ in range(3):
    near, far = pair()
    near.send(b"prequel")
    time.sleep(0.05)
    show(far.recv(3))
    socket.send_fds(ours, [b"x"], [far.fileno()])
    far.close()
    show(read_all(near, 100))
show(os.waitpid(worker, 0)[1])
near, far = pair()
ours, theirs = socket.socketpair()
socket.send_fds(ours, [b"x"], [far.fileno()])
again = socket.socket(fileno=socket.recv_fds(theirs, 10, 1)[1][0])
near.send(b"123456")
show(again.recv(3), far.recv(3))
far.close()
again.send(b"ok")
show(near.recv(2))
again.close()
show(near.recv(2))

# A process for each connection.
listening = listener()
name = listening.getsockname()
server = os.fork()
if server == 0:
    for _ in range(10):
        end, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            while data := end.recv(1000):
                end.sendall(data.upper())
            os._exit(0)
        end.close()
    os._exit(0)
listening.close()
for at in range(10):
    near = socket.create_connection(name)
    near.sendall(b"abc%d" % at)
    answer = read_all(near, 4)
    near.shutdown(socket.SHUT_WR)
    show(answer + near.recv(10))
os.waitpid(server, 0)
try:
    show(socket.create_connection(name))
except OSError as error:
    show(error.errno)

# A program that closes and replaces every descriptor that it does not know.
listening = listener()
name = listening.getsockname()
for number in range(3, 1024):
    if number != listening.fileno():
        try:
            os.close(number)
        except OSError:
            pass
os.closerange(listening.fileno() + 1, 5000)
for number in range(200, 230):
    os.dup2(os.open("/dev/null", os.O_RDONLY), number)
near = socket.create_connection(name)
far, _ = listening.accept()
far.send(b"still here")
show(near.recv(10), listening.getsockname()[0] == ADDRESS)

# A server has a child for each connection and goes on accepting. What only a child has stays the child's, whatever
# comes and goes meanwhile in the process that it is from.
listening = listener()
name = listening.getsockname()
gate, opened = os.pipe()
report, told = os.pipe()
nears = []
for at in range(40):
    near = socket.create_connection(name)
    far, _ = listening.accept()
    near.sendall(b"for child %d" % at)
    if os.fork() == 0:
        os.close(opened)
        os.read(gate, 1)
        got = far.recv(100)
        far.send(b"from child %d" % at)
        os.write(told, b"child %d got %s\n" % (at, got))
        os._exit(0)
    far.close()
    if at % 2:
        near.close()
    else:
        nears.append(near)
    near, (far, _) = socket.create_connection(name), listening.accept()
    near.sendall(b"short")
    far.sendall(far.recv(100) + b"er")
    show(read_all(near, 7))
    near.close()
    far.close()
os.close(opened)
os.close(told)
for near in nears:
    show(read_all(near, 100))
for _ in range(40):
    os.wait()
with os.fdopen(report, "rb") as lines:
    show(sorted(lines))
