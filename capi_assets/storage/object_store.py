"""Object storage by fsspec's drivers: whole objects, each in one request.

Credentials, endpoint and retries are the driver's own and come from its variables
(docs/object-storage.md). `lake`, `listing` and `ingest.landing_folder` use it; nothing is cached
here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from upath import UPath

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"} | dict.fromkeys(
    ("az", "abfs", "abfss"), "azure"
)
"""The extra of this package that installs the driver, by the protocol of an address."""


READS_AT_ONCE = 16
"""A request takes tens of milliseconds; a sensor's evaluation has a minute for all of them."""


class LakeError(RuntimeError):
    """An hour that cannot be read or written; the message names the file and the remedy."""


def folder_at(address: str | os.PathLike[str] | UPath) -> UPath:
    """A folder on disk or in a store, which is always asked anew: another process may have written
    since, and a remembered size or ETag would then fail the read."""
    folder = UPath(address)
    if is_object_store(folder) and not isinstance(address, UPath):
        return UPath(address, use_listings_cache=False)
    return folder


def is_local(folder: UPath) -> bool:
    """Whether the folder is on a file system of this machine."""
    return folder.protocol in ("", "file", "local")


def is_object_store(folder: UPath) -> bool:
    """Whether one request lists all objects below a prefix."""
    return folder.protocol in EXTRAS


def read_whole(path: UPath) -> bytes:
    """The content of a file, all of one version even if it is replaced meanwhile.

    Raises:
        OSError: it cannot be read.
    """
    if is_local(path):
        return bytes(path.read_bytes())
    with driver_errors():
        # With a start it is one request. Without, s3fs asks for the size first, and reads large
        # objects in parts that may be of two versions.
        return bytes(path.fs.cat_file(path.path, start=0))


def write_whole(path: UPath, content: bytes) -> None:
    """Replaces a file of a store completely or not at all.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    with driver_errors():
        path.fs.pipe_file(path.path, content)


def remove_file(path: UPath) -> None:
    """Removes a file, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    if is_object_store(path):
        with driver_errors():
            # `unlink` removes many at once, a request that needs a checksum not all stores know.
            path.fs.rm_file(path.path)
    else:
        path.unlink(missing_ok=True)


def unreadable(path: UPath, error: Exception) -> LakeError:
    """What to raise for a stored hour that cannot be read."""
    if is_local(path) or not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
        return LakeError(
            f"Cannot read {path}: {type(error).__name__}. Materialize that hour again."
        )
    return LakeError(
        f"Cannot read {path}: {reason_text(error)}. {REACH_THE_STORE}, and materialize the hours"
        " of this run again."
    )


REACH_THE_STORE = "See with `capi-assets doctor` when the store can be used"


def reason_text(error: OSError) -> str:
    """Why a file or a store cannot be used, without a full stop."""
    return str(error.strerror or error).rstrip(".")


@contextmanager
def driver_errors() -> Iterator[None]:
    """Makes the drivers' own errors `OSError`, whose text has neither address nor credentials.

    s3fs raises botocore's where no connection is made or no credentials are found.

    Raises:
        LakeError: the driver is not installed.
    """
    try:
        yield
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):  # fsspec names its driver in an ImportError
            raise
        raise LakeError(
            f"The driver of an object store is not installed ({error}). Install this package with"
            " its extra s3, gcs or azure."
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DRIVERS:
            raise
        name = type(error).__name__
        raise OSError(_TEXTS.get(name, f"the store does not answer ({name})")) from error


_DRIVERS = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure"}
_TEXTS = {
    "NoCredentialsError": "no credentials are found: set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "credentials are incomplete: set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY",
}
