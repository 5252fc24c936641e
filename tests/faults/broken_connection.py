"""A proxy in front of a PostgreSQL server whose connections break after so many bytes, of both directions together."""

import contextlib
import select
import socket
import threading


class Proxy:
    """Listens on a port of 127.0.0.1; each connection breaks when `limit` bytes have passed through all of them (None: never)."""

    def __init__(self, host, port, limit=None):
        self.address = "%s/.s.PGSQL.%s" % (host, port)
        self.limit, self.passed = limit, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self.address)
            other = {client: server, server: client}
            while True:
                for one in select.select(list(other), [], [])[0]:
                    data = one.recv(65536)
                    if self.limit is not None:
                        data = data[:max(0, self.limit - self.passed)]
                    if not data:
                        return
                    self.passed += len(data)
                    other[one].sendall(data)
                    if self.limit is not None and self.passed >= self.limit:
                        return

    def close(self):
        # shutdown() wakes accept(), close() alone does not.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
