#!/usr/bin/env python3
"""sbom.py VERSION: prints the packaged programs' bill of materials, CycloneDX 1.5 as JSON, made from libraries.lock.

The same lock and version give the same bytes: the serial number is derived from them, and no time is in it.
"""
import hashlib
import json
import os
import sys
import uuid

LICENCES = {
    'sqlite': 'blessing',
    'openssl': 'Apache-2.0',
    'postgresql': 'PostgreSQL',
    'msgpack-c': 'BSL-1.0',
    'libyaml': 'MIT',
    'jansson': 'MIT',
    'xxhash': 'BSD-2-Clause',
    'libmd': 'BSD-3-Clause',
    'zstd': 'BSD-3-Clause',
    'mimalloc': 'MIT',
}
HERE = os.path.dirname(os.path.abspath(__file__))


def libraries():
    with open(os.path.join(HERE, 'libraries.lock'), encoding='utf-8') as lock:
        for line in lock:
            if line.strip() and not line.startswith('#'):
                name, version, sha256, _size = line.split()
                yield name, version, sha256


def component(name, version, sha256):
    return {
        'type': 'library',
        'bom-ref': f'{name}@{version}',
        'name': name,
        'version': version,
        'licenses': [{'license': {'id': LICENCES[name]}}],
        'hashes': [{'alg': 'SHA-256', 'content': sha256}],
        'purl': f'pkg:generic/{name}@{version}?checksum=sha256:{sha256}'.replace('+', '%2B'),
    }


def bill(version):
    components = [component(*library) for library in libraries()]
    root = f'mlruns-tools@{version}'
    identity = hashlib.sha256(json.dumps([root, components]).encode()).hexdigest()
    return {
        '$schema': 'http://cyclonedx.org/schema/bom-1.5.schema.json',
        'bomFormat': 'CycloneDX',
        'specVersion': '1.5',
        'serialNumber': f'urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}',
        'version': 1,
        'metadata': {
            'component': {
                'type': 'application',
                'bom-ref': root,
                'name': 'mlruns-tools',
                'version': version,
                'licenses': [{'license': {'id': 'Apache-2.0'}}],
                'purl': f'pkg:pypi/mlruns-tools@{version}',
            }
        },
        'components': components,
        'dependencies': [{'ref': root, 'dependsOn': [c['bom-ref'] for c in components]}]
        + [{'ref': c['bom-ref']} for c in components],
    }


json.dump(bill(sys.argv[1]), sys.stdout, indent=2)
print()
