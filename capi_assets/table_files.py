"""Tables of texts, words and lists that lie as TOML beside the module that reads them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def table_beside(module: str) -> dict[str, Any]:
    """The content of the `.toml` file of the same name; `module` is the caller's `__file__`.

    Part of the package: read at import, as the module itself is.
    """
    return tomllib.loads(Path(module).with_suffix(".toml").read_text(encoding="utf-8"))
