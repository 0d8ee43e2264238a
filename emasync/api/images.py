"""`em.images`: building, loading and listing Docker images on the EM.

Each method sends one request. Must not import disk or transfer.
"""

from __future__ import annotations

from emasync.http.pipeline import RequestPipeline
from emasync.model import Image
from emasync.wire import requests, responses


class Images:
    """The user's images. Built by `Client`; not meant to be made by hand."""

    def __init__(self, pipeline: RequestPipeline, volume: requests.Volume) -> None:
        self._pipeline = pipeline
        self._volume = volume

    async def build(self, image: str, *, dockerfile: str, context: str = ".") -> None:
        """Build `image` from a Dockerfile and a context folder in the volume (``em/pod/image/build``).

        The build has no network; the server adds the user's name in front of the image's. It may take long (up to two
        hours are waited). BuildFailedError carries the last log lines. UnknownOutcomeError when the answer was lost:
        it is never sent twice. Cancellation does not stop the build on the EM.

        >>> size = Path("Dockerfile").write_text("FROM alpine")
        >>> report = await em.uplink("Dockerfile", dest="hello")
        >>> await em.images.build("hello", dockerfile="hello/Dockerfile", context="hello")
        >>> [image.name for image in await em.images.list()]
        ['client1-echo', 'client1-hello']
        """
        await self._pipeline.json(requests.build_image(self._volume, image, dockerfile=dockerfile, context=context))

    async def load(self, image: str, *, tarfile: str) -> None:
        """Load an image from a tar in the volume (``em/pod/image/load``).

        The image in the tar must be tagged with the user's name as prefix (``client1-echo-test``), or the EM takes it
        and never runs it. ImageLoadError, UnknownOutcomeError and cancellation as in `build`.

        >>> await em.images.load("client1-hello", tarfile="results/a.txt")
        Traceback (most recent call last):
        ImageLoadError: POST em/pod/image/load (results/a.txt): refused (400) [IMAGE_LOAD_FAILED]: not an image tar
        """
        await self._pipeline.json(requests.load_image(self._volume, image, tarfile=tarfile))

    async def list(self) -> list[Image]:
        """The images this user may run (``em/pod/image/list``).

        >>> await em.images.list()
        [Image(name='client1-echo')]
        """
        return responses.images(await self._pipeline.json(requests.list_images(self._volume)))
