"""What the process needs before it has a database: a YAML file, and the environment over it.

Everything else is a setting in the database. Unsafe values are refused at the start, each with its name and the fix.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, IPvAnyNetwork, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

LEAST_SECRET = 32
ADDRESS = r"^(unix:/.+|([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5})$"
"""Host and port, or a socket's path."""
ORIGIN = r"(https(?!.*:443$)|http(?!.*:80$))://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
"""An origin as browsers send it: `Origin` is compared with it letter by letter."""
_KNOWN_SECRETS = {"changeme", "change-me", "secret", "default", "password", "deskplane", "insecure"}


class Settings(BaseSettings):
    """Settings of a server or worker process; each is `DESKPLANE_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="DESKPLANE_", extra="forbid", str_strip_whitespace=True)

    environment: Literal["production", "development", "test"] = Field(
        "production", description="What the process is for; production refuses unsafe settings."
    )
    database_url: str = Field(
        "sqlite:///deskplane.db",
        description="The database: C(sqlite:////path/desk.db), or C(postgresql+psycopg://user:password@host/database) "
        "(PostgreSQL 15 or newer).",
    )
    database_tls: Literal["disable", "require", "verify-ca", "verify-full"] | None = Field(
        None,
        description="How the connection to PostgreSQL is protected: C(disable) not at all, C(require) by encryption "
        "alone, C(verify-ca) also by a certificate of a known authority, C(verify-full) by one for that host. Unset it "
        "is C(verify-full) for a server on another machine, and what the server offers on this one.",
    )
    database_tls_root_certificate: Path | None = Field(
        None,
        description="File with the certificates of the authorities that are believed for PostgreSQL; without it those "
        "of the system.",
    )
    secret_key: str | None = Field(
        None,
        description="At least 32 random characters that seal secrets and sign cursors; better in a file of its own.",
    )
    secret_key_file: Path | None = Field(
        None,
        description="File that holds the secret key, readable by its owner only. Its first line is the key; more lines "
        "are keys of before.",
    )
    old_secret_keys: Annotated[list[str], NoDecode] = Field(
        [],
        description="Secret keys of before, until C(deskplane secrets rotate) has sealed everything with the present "
        "one; in the environment with commas between them. In C(secret_key_file) they are the lines behind the first.",
    )
    bind: str = Field(
        "127.0.0.1:8080",
        pattern=ADDRESS,
        description="Address and port that the server listens on, or C(unix:/path/of/socket).",
    )
    workers: int = Field(2, ge=1, le=64, description="Server processes.")
    threads: int = Field(4, ge=1, le=64, description="Requests that each process serves at once.")
    drain_seconds: int = Field(
        0,
        ge=0,
        le=300,
        description="How many seconds a server that is asked to stop goes on letting requests in, while C(/readyz) "
        "says 503: for balancers that look at that; 0 where the proxy tries the next server by itself.",
    )
    worker_threads: int = Field(
        16, ge=2, le=256, description="How many webhooks, mailboxes and the like each worker process serves at once."
    )
    webhook_networks: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        [],
        description="Networks beside the public internet that webhooks may call, and in which identity providers and "
        "copies of backups may be, such as C(10.20.0.0/16); in the environment with commas between them.",
        json_schema_extra={"items": {"type": "string", "format": "network"}},
    )
    public_address: str = Field(
        "", description="Address under which the server is reached; where it is empty, that of the request."
    )
    trusted_proxies: int = Field(
        0, ge=0, le=5, description="How many reverse proxies stand in front, whose headers are believed."
    )
    allowed_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins of other sites whose pages may call the API with a key, such as "
        "C(https://console.example.org), each in full; in the environment with commas between them. Pages of the desk "
        "itself need none.",
    )
    hsts_seconds: int = Field(
        63_072_000,
        ge=0,
        description="For how many seconds browsers are told to come by HTTPS only, where C(public_address) is HTTPS; 0 "
        "does not tell them.",
    )
    hsts_subdomains: bool = Field(
        False, description="Whether that is said of all hosts below the desk's, too; none of them may need plain HTTP."
    )
    requests_per_minute_per_address: int = Field(
        36_000,
        ge=0,
        description="How many requests a minute may come from one address, over all servers; 0 for any number.",
    )
    requests_per_minute_per_key: int = Field(
        18_000,
        ge=0,
        description="How many requests a minute each API key and each session may make, over all servers; 0 for any "
        "number.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest body of a request, in bytes.")
    max_document_bytes: int = Field(
        16_777_216, ge=1024, description="Largest document of a whole desk, in bytes: some 50,000 objects."
    )
    busy_seconds: float = Field(
        10.0, gt=0, le=120, description="How many seconds a writer waits for the database, until 503."
    )
    breached_passwords_file: Path | None = Field(
        None,
        description="File with the SHA-1 sums of passwords that everyone knows, sorted, as Pwned Passwords is offered "
        "for download; nobody gets one of them.",
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="Form of the log: C(json) for machines, C(console) for eyes."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    migrate_on_start: bool = Field(True, description="Whether the server brings the database up to date as it starts.")
    backup_directory: Path | None = Field(
        None, description="Directory in which workers put the backups of the setting C(backup.schedule)."
    )
    backup_passphrase_file: Path | None = Field(
        None, description="File that holds the passphrase with which those backups are sealed; without it they are not."
    )
    backup_offsite_authorization_file: Path | None = Field(
        None,
        description="File whose first line is sent as the header Authorization to the address of the setting "
        "C(backup.offsite_url), such as C(Bearer …) or C(Basic …).",
    )
    debug: bool = Field(False, description="For development; refused in production.")

    @field_validator("webhook_networks", "old_secret_keys", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _exact(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if "*" in origin:
                raise ValueError(f"{origin!r} lets in pages that nobody named; name each origin, or none")
            if not re.fullmatch(ORIGIN, origin):
                raise ValueError(
                    f"{origin!r} is no origin as browsers send it: https://, the host in small letters, and a port "
                    "only where it is not the usual one"
                )
        return origins

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("DESKPLANE_CONFIG")
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if file:
            sources += (YamlConfigSettingsSource(settings_cls, yaml_file=Path(file)),)
        return sources

    def database_arguments(self) -> dict[str, str]:
        """What libpq is told of TLS besides the address; nothing for SQLite, and where the address says it itself."""
        url = make_url(self.database_url)
        if url.get_backend_name() == "sqlite" or (self.database_tls is None and "sslmode" in url.query):
            return {}
        mode = self.database_tls or ("verify-full" if is_elsewhere(url) else None)
        if mode is None or not mode.startswith("verify"):
            return {} if mode is None else {"sslmode": mode}
        return {"sslmode": mode, "sslrootcert": str(self.database_tls_root_certificate or "system")}

    def secret(self) -> str:
        """The secret key that seals and signs, from wherever it is kept. Raises SettingsError."""
        return self.secrets()[0]

    def secrets(self) -> list[str]:
        """That one, and those of before, which open and verify still. Raises SettingsError."""
        if self.secret_key:
            return [self.secret_key, *self.old_secret_keys]
        if self.secret_key_file is None:
            raise SettingsError("secret_key: is not set; set DESKPLANE_SECRET_KEY or secret_key_file")
        try:
            found = [line.strip() for line in self.secret_key_file.read_text().splitlines() if line.strip()]
        except OSError as error:
            raise SettingsError(f"secret_key_file: cannot be read: {error.strerror}: {error.filename}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"secret_key_file: {self.secret_key_file} is not text") from None
        if not found:
            raise SettingsError(f"secret_key_file: is empty, so that the secret key is not set: {self.secret_key_file}")
        return [*found, *self.old_secret_keys]


def first_line(path: Path, what: str) -> str:
    """The first line of a file that holds a secret, which is `what`. Raises SettingsError."""
    try:
        found = path.read_text().partition("\n")[0]
    except OSError as error:
        raise SettingsError(f"{what} cannot be read: {error.strerror}: {error.filename}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{what} cannot be read: {path} is not text") from None
    if not found:
        raise SettingsError(f"{what} is empty: {path}")
    return found


def read_passphrase(path: Path) -> str:
    """The first line of a file. Raises SettingsError."""
    return first_line(path, "the passphrase")


class SettingsError(Exception):
    """Settings with which the process does not start."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with the settings: which one, what, and what to do."""

    setting: str
    detail: str
    fix: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.detail}; {self.fix}"


def load(config: str | None = None, **overrides: Any) -> Settings:
    """Reads the settings. Raises SettingsError with one line for each bad one."""
    if config is not None:
        os.environ["DESKPLANE_CONFIG"] = config
    file = os.environ.get("DESKPLANE_CONFIG")
    if file and not Path(file).is_file():
        raise SettingsError(f"the configuration file {file} does not exist or cannot be read")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    except Exception as error:  # what a YAML parser raises is its own affair
        raise SettingsError(f"the configuration file {file} cannot be read: {error}") from None


def findings(settings: Settings) -> list[Finding]:
    """What is unsafe about the settings. In production each of them keeps the process from starting."""
    found: list[Finding] = []
    try:
        secret = settings.secret()
    except SettingsError as error:
        name, _, detail = str(error).partition(": ")
        return [Finding(name, detail, "make one with: openssl rand -base64 48")]
    if len(secret) < LEAST_SECRET or len(set(secret)) < 8:
        found.append(
            Finding(
                "secret_key",
                f"is shorter than {LEAST_SECRET} characters, or repeats a few of them",
                "make one with: openssl rand -base64 48",
            )
        )
    if any(word in secret.lower() for word in _KNOWN_SECRETS):
        found.append(Finding("secret_key", "is a default or a known word", "make one with: openssl rand -base64 48"))
    for name, path in (("secret_key_file", settings.secret_key_file), ("configuration file", _config_file())):
        if path is None or not path.exists():
            continue
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            found.append(Finding(name, f"{path} can be read by everyone", f"run: chmod o= {path}"))
    known = settings.breached_passwords_file
    if known is not None and not os.access(known, os.R_OK):
        found.append(Finding("breached_passwords_file", f"{known} cannot be read", "name a file with SHA-1 sums"))
    if settings.debug and settings.environment == "production":
        found.append(Finding("debug", "is on in production", "set debug to false"))
    if not _is_database(settings.database_url):
        found.append(
            Finding(
                "database_url",
                "names neither SQLite nor PostgreSQL, or not in this form",
                "use sqlite:////path/desk.db or postgresql+psycopg://user:password@host/database",
            )
        )
        return found
    return [*found, *_tls_findings(settings)]


def is_elsewhere(url: URL) -> bool:
    """Whether a PostgreSQL is on another machine, as far as its address says."""
    more = url.query.get("host", ())
    hosts = [url.host, *([more] if isinstance(more, str) else more)]
    names = [host.strip("[]") for host in hosts if host and not host.startswith("/")]
    return any(name != "localhost" and name != "::1" and not name.startswith("127.") for name in names)


def _tls_findings(settings: Settings) -> Iterator[Finding]:
    mode, root, url = settings.database_tls, settings.database_tls_root_certificate, make_url(settings.database_url)
    setting = "database_tls"
    if url.get_backend_name() == "sqlite":
        if mode or root:
            yield Finding(setting, "is set, and SQLite is no server", "take database_tls… out of the settings")
        return
    if (mode or root) and any(name.startswith("ssl") for name in url.query):
        yield Finding(setting, "is said in database_url, too", "take what begins with ssl out of database_url")
    if mode == "verify-ca" and root is None:
        yield Finding(
            setting, "verify-ca believes whatever host the authority signed for", "set database_tls_root_certificate"
        )
    if root is None:
        return
    setting = "database_tls_root_certificate"
    if mode in ("disable", "require") or (mode is None and not is_elsewhere(url)):
        yield Finding(setting, "is set, and nothing would be compared with it", "set database_tls to verify-full")
    if not os.access(root, os.R_OK):
        yield Finding(setting, f"{root} cannot be read", "name a file with certificates in PEM")


def _is_database(url: str) -> bool:
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        return False
    try:
        return bool(make_url(url).database)
    except (ArgumentError, ValueError):
        return False


def _config_file() -> Path | None:
    """The configuration file, where it holds a secret: the secret key, or the database's password."""
    file = os.environ.get("DESKPLANE_CONFIG")
    if not file or not Path(file).exists():
        return None
    text = re.sub(r"^\s*#.*$", "", Path(file).read_text(errors="replace"), flags=re.MULTILINE)
    return Path(file) if re.search(r"^\s*secret_key\s*:|://[^/\s]*:[^/\s]*@", text, re.MULTILINE) else None


def require_safe(settings: Settings) -> None:
    """Raises SettingsError with all findings, one a line. Tests and development only need a secret that is there."""
    found = findings(settings)
    if settings.environment != "production":
        found = [finding for finding in found if finding.setting.startswith("database_") or "not set" in finding.detail]
    if found:
        raise SettingsError("\n".join(str(finding) for finding in found))
