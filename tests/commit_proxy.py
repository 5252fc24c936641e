#!/usr/bin/env python3
"""A connection to a PostgreSQL server that is lost at COMMIT.

    commit_proxy.py before|after SERVER_PORT PORT_FILE

Listens on a port of 127.0.0.1, which it writes to PORT_FILE, and passes on what client and server say. At the first COMMIT it
closes both connections: before the server has heard of it, or after it has committed and before the client learns that.
"""

import os
import select
import socket
import sys


def carry(client, server, when):
    committing = False
    while True:
        for one in select.select([client, server], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            if one is server:
                if committing and b"COMMIT\0" in data:
                    return
                client.sendall(data)
                continue
            if b"COMMIT\0" in data:
                if when == "before":
                    return
                committing = True
            server.sendall(data)


def main():
    when, port, file = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    with open(file + ".new", "w") as out:
        out.write(str(listener.getsockname()[1]))
    os.rename(file + ".new", file)
    client = listener.accept()[0]
    server = socket.create_connection(("127.0.0.1", int(port)))
    carry(client, server, when)
    server.close()
    client.close()


if __name__ == "__main__":
    main()
