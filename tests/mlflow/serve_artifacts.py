#!/usr/bin/env python3
"""Runs `mlflow server` on a database, which also hands out the artifacts in a folder.  Runs inside an environment.

    serve_artifacts.py URL ARTIFACTS-DESTINATION     prints the server's address; ends when standard input does
"""

import os
import sys
import tempfile
from pathlib import Path

from server_checks import Server


def main():
    url, os.environ["MLFLOW_ARTIFACTS_DESTINATION"] = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="mlruns-tools-server.") as work:
        log = Path(work) / "server.log"
        server = Server(url, log)
        try:
            good = server.wait()
            print(server.address if good else log.read_text(errors="replace")[-3000:].replace("\n", " "), flush=True)
            sys.stdin.read()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
