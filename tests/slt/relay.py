"""A TCP port for a server that listens on a socket file: drivers of some languages know no other way."""

import contextlib
import selectors
import socket
import threading


@contextlib.contextmanager
def relayed(path):
    """The port on loopback whose connections are those of the socket file."""
    stop, stopped = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, stop, stopped:
        thread = threading.Thread(target=relay, args=(listener, str(path), stopped))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.sendall(b"x")
            thread.join()


def relay(listener, path, stopped):
    """Carries bytes both ways until there is something to read from `stopped`."""
    others = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(stopped, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is stopped:
                    for end in others:
                        end.close()
                    return
                if key.fileobj is listener:
                    near = listener.accept()[0]
                    far = socket.socket(socket.AF_UNIX)
                    far.connect(path)
                    others.update({near: far, far: near})
                    selector.register(near, selectors.EVENT_READ)
                    selector.register(far, selectors.EVENT_READ)
                elif key.fileobj in others:
                    carry(key.fileobj, others, selector)


def carry(end, others, selector):
    """What has come at one end goes to the other; an end that closes closes both."""
    try:
        piece = end.recv(1 << 16)
        if piece:
            others[end].sendall(piece)
            return
    except OSError:
        pass
    for closed in (end, others.pop(end)):
        selector.unregister(closed)
        closed.close()
        others.pop(closed, None)
