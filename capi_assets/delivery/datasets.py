"""Several datasets, each with its own token: the YAML file that `CAPI_DATASETS` names.

```yaml
datasets:
  - id: "1234567890123456"
    token_variable: SHOP_A_TOKEN # or token_file: /run/secrets/shop_a, or token_command: vault …
    app_secret_variable: SHOP_A_SECRET
    test_event_code: TEST123
    requests_per_second: 5
```

The file names where secrets are and never holds one. A file that cannot be parsed is an error; a
secret that cannot be read stops its own dataset only, whose events stay pending.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from capi_assets.delivery.sending.access import DatasetAccess
from capi_assets.web_addresses import secret_problem


class DatasetsError(ValueError):
    """The datasets file is not valid; the message names the file, the entry and the key."""


@dataclass(frozen=True)
class Datasets:
    """By dataset id: the accesses, the requests per second, and why a configured dataset has no
    access now (`missing`)."""

    accesses: Mapping[str, DatasetAccess]
    requests_per_second: Mapping[str, float]
    missing: Mapping[str, str]


def read_datasets(
    path: str | Path,
    env: Mapping[str, str],
    *,
    graph_url: str,
    version: str,
    hosts_allowed: Iterable[str] = (),
) -> Datasets:
    """The datasets of a file, with the secrets that its entries name in `env` or in files.

        read_datasets("datasets.yaml", os.environ, graph_url=META_URL, version="v26.0")

    Raises:
        DatasetsError: the file cannot be read or is not valid.
    """
    accesses: dict[str, DatasetAccess] = {}
    missing: dict[str, str] = {}
    entries = _entries(path)
    for entry in entries:
        try:
            accesses[entry.id] = DatasetAccess(
                dataset_id=entry.id,
                token=entry.token(env),
                renew=partial(entry.token, env),
                app_secret=entry.app_secret(env),
                graph_url=graph_url,
                version=version,
                test_event_code=entry.test_event_code,
                partner_agent=entry.partner_agent,
                hosts_allowed=tuple(hosts_allowed),
            )
        except (LookupError, ValueError) as error:
            missing[entry.id] = f"{path}: dataset {entry.id}: {error.args[0]}"
    rates = {e.id: e.requests_per_second for e in entries if e.requests_per_second is not None}
    return Datasets(accesses, rates, missing)


COMMAND_SECONDS = 30.0
"""A client of a secret store answers within seconds; one that waits for a login must not hold up
all deliveries."""


def secret_printed_by(command: str, name: str) -> str:
    """What `command` prints, without surrounding whitespace; it is run without a shell.

    Raises:
        LookupError: it cannot be run, fails, takes too long or prints nothing; the message has
            `name`, and neither the command nor its output.
    """
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        text = done.stdout.decode("utf-8").strip()
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise LookupError(f"{name} cannot be run ({type(error).__name__})") from None
    if done.returncode:
        raise LookupError(f"{name} failed with exit status {done.returncode}")
    if not text:
        raise LookupError(f"{name} printed nothing")
    return text


def secret_in(path: str) -> str:
    """The secret in a file, without surrounding whitespace.

    Raises:
        LookupError: the file cannot be read or is empty; the message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LookupError(f"{path} cannot be read ({type(error).__name__})") from None
    if not text:
        raise LookupError(f"{path} is empty")
    return text


def _text_of_number(value: object) -> object:
    """YAML reads an id without quotes as a number."""
    return str(value) if type(value) is int else value


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    id: Annotated[str, BeforeValidator(_text_of_number), Field(pattern=r"^[0-9]+$")]
    token_variable: str | None = Field(None, min_length=1)
    token_file: str | None = Field(None, min_length=1)
    token_command: str | None = Field(None, min_length=1, repr=False)
    app_secret_variable: str | None = Field(None, min_length=1)
    test_event_code: str | None = Field(None, min_length=1)
    partner_agent: str | None = Field(None, min_length=1)
    requests_per_second: Annotated[float, Field(gt=0)] | None = None

    @field_validator("token_variable", "token_file", "app_secret_variable", "test_event_code")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        if value and (problem := secret_problem(value)):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _one_token(self) -> _Entry:
        if (self.token_variable, self.token_file, self.token_command).count(None) != 2:
            raise ValueError("name one of token_variable, token_file and token_command")
        return self

    def token(self, env: Mapping[str, str]) -> str:
        if self.token_command is not None:
            return secret_printed_by(self.token_command, "token_command")
        if self.token_file is not None:
            try:
                return secret_in(self.token_file)
            except LookupError as error:
                raise LookupError(f"token_file {error.args[0]}") from None
        return _variable("token_variable", self.token_variable or "", env)

    def app_secret(self, env: Mapping[str, str]) -> str | None:
        if self.app_secret_variable is None:
            return None
        return _variable("app_secret_variable", self.app_secret_variable, env)


def _variable(key: str, name: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise LookupError(f"{key} {name} is not set")
    return value


def _entries(path: str | Path) -> list[_Entry]:
    document = _document(path)
    if not isinstance(document, dict) or set(document) != {"datasets"}:
        raise DatasetsError(f"{path}: must have one key, `datasets`, with a list of entries")
    listed = document["datasets"]
    if not isinstance(listed, list) or not listed:
        raise DatasetsError(f"{path}: `datasets` must be a list with an entry per dataset")
    entries: dict[str, _Entry] = {}
    for number, fields in enumerate(listed, start=1):
        where = f"{path}: entry {number}"
        if not isinstance(fields, dict):
            raise DatasetsError(f"{where}: must have keys, such as `id` and `token_variable`")
        try:
            entry = _Entry.model_validate(fields)
        except ValidationError as error:
            raise DatasetsError(f"{where}: {_problems(error)}") from None
        if entry.id in entries:
            raise DatasetsError(f"{where}: id: dataset {entry.id} is named twice")
        entries[entry.id] = entry
    return list(entries.values())


def _document(path: str | Path) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetsError(
            f"{path}: cannot be read ({type(error).__name__}); CAPI_DATASETS names it"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise DatasetsError(f"{path}: is not YAML{line}") from None


def _problems(error: ValidationError) -> str:
    """The problems of an entry, without values: one might be a token."""
    problems = []
    for detail in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        problem = "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"]
        problem = problem.removeprefix("Value error, ")
        problems.append(f"{key}: {problem}" if key else problem)
    return "; ".join(problems)
