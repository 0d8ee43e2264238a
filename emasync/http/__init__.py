"""Requests to one EM over HTTP: transport, log-in, retry, concurrency limiter and the pipeline that joins them.

The only user of aiohttp on the client's side. Knows nothing of local files: must not import disk.
"""

from emasync.http.response import Response
from emasync.http.transport import Transport, check_base_url
from emasync.http.upload import Body

__all__ = ["Body", "Response", "Transport", "check_base_url"]
