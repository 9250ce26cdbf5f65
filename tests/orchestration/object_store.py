"""A store of objects that speaks S3, in this process."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

_WHO = "AWS4-HMAC-SHA256 Credential=lake/20250101/us-east-1/s3/aws4_request"


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """The address of a store with one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    try:
        host, port = store.get_host_and_port()
        address = f"http://{host}:{port}"
        request = urllib.request.Request(
            f"{address}/{bucket}", method="PUT", headers={"Authorization": _WHO}
        )
        urllib.request.urlopen(request, timeout=20).close()
        yield address
    finally:
        store.stop()
