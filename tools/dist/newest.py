#!/usr/bin/env python3
"""newest.py [VERSION]: whether this project has every revision of the newest MLflow on PyPI, or of VERSION.

Fetches the wheel without its dependencies, reads the chain of its revisions, and compares it with migrations/. Exit 0 when its
head is known, 1 when revisions are missing here (each is named), 2 on trouble.
"""
import os
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERSIONS = 'mlflow/store/db_migrations/versions/'


def fetch(version, directory):
    wanted = f'mlflow-skinny=={version}' if version else 'mlflow-skinny'
    for package in (wanted.replace('-skinny', ''), wanted):
        run = subprocess.run(
            [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', '-d', directory, package],
            check=False)
        if run.returncode:
            sys.exit(2)
        for name in sorted(os.listdir(directory)):
            with zipfile.ZipFile(os.path.join(directory, name)) as wheel:
                if any(n.startswith(VERSIONS) for n in wheel.namelist()):
                    return os.path.join(directory, name)
    print('newest.py: the wheel holds no revisions', file=sys.stderr)
    sys.exit(2)


def chain(wheel):
    """Revisions of a wheel, oldest first, each with its first line of documentation."""
    after, titles = {}, {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not (name.startswith(VERSIONS) and name.endswith('.py')) or name.endswith('__init__.py'):
                continue
            text = archive.read(name).decode()
            revision = re.search(r'''^revision(?:: str)? = ["']([0-9a-f]+)["']''', text, re.M)
            down = re.search(r'''^down_revision(?:: [^=]*)? = (?:["']([0-9a-f]+)["']|None)''', text, re.M)
            if not revision or not down:
                print(f'newest.py: {name}: no revision and down_revision', file=sys.stderr)
                sys.exit(2)
            titles[revision[1]] = text.strip('"\'\n ').split('\n', 1)[0]
            if down[1] in after:
                print(f'newest.py: two revisions follow {down[1]}', file=sys.stderr)
                sys.exit(2)
            after[down[1]] = revision[1]
    revision, revisions = None, []
    while revision in after:
        revision = after[revision]
        revisions.append((revision, titles[revision]))
    return revisions


def ours():
    names = (re.match(r'\d{4}_([0-9a-f]{12,})_', n) for n in os.listdir(os.path.join(ROOT, 'migrations')))
    return {m[1] for m in names if m}


def main():
    with tempfile.TemporaryDirectory() as directory:
        wheel = fetch(sys.argv[1] if len(sys.argv) > 1 else None, directory)
        revisions = chain(wheel)
        release = os.path.basename(wheel).split('-')[1]
    known = ours()
    missing = [(r, title) for r, title in revisions if r not in known]
    if not missing:
        print(f'MLflow {release}: its head {revisions[-1][0]} is known, {len(revisions)} revisions')
        return 0
    print(f'MLflow {release}: {len(missing)} revisions are not in migrations/:')
    for revision, title in missing:
        print(f'  {revision}  {title}')
    return 1


sys.exit(main())
