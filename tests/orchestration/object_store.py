"""A store of objects that speaks S3, in this process."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

_WHO = "AWS4-HMAC-SHA256 Credential=lake/20250101/us-east-1/s3/aws4_request"


@contextmanager
def object_store(bucket: str, refuses: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """The address of a store with one bucket. It answers 503 to a request that it `refuses`."""
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
        assert store._server is not None
        serve = store._server.app

        def serve_or_refuse(environ: Any, start_response: Any) -> Any:
            if not refuses():
                return serve(environ, start_response)
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code></Error>"]

        store._server.app = serve_or_refuse
        yield address
    finally:
        store.stop()
