"""What an operator may set in ``[plugins.notify]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from kernel import ConfigError, seconds

from .apprise import AppriseSettings
from .log import LogSettings
from .mail import MailSettings
from .poster import host_of, why_never
from .rules import Rule
from .slack import SlackSettings
from .webhook import WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES: dict[str, type[BaseModel]] = {
    "log": LogSettings,
    "webhook": WebhookSettings,
    "slack": SlackSettings,
    "mail": MailSettings,
    "apprise": AppriseSettings,
}
_JOB = re.compile(r"[^\s.]+\.[^\s.]+|[^\s]*[*?\[][^\s]*")


def _seconds(value: Any) -> float:
    try:
        return seconds(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _problem(text: str, *location: str | int) -> InitErrorDetails:
    """What is wrong at ``location``, below what is being checked."""
    kind = PydanticCustomError("notify", "{text}", {"text": text})  # the text may have braces in it
    return InitErrorDetails(type=kind, loc=location, input=None)


def _refused(*problems: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data("Settings", [*problems])


def _near(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - for errors only

    found = difflib.get_close_matches(name, known, n=1)
    return f'. Did you mean "{found[0]}"?' if found else ""


def _channel(value: Any, _handler: Any) -> Any:
    """By its type: an error is then told of the keys of that, and not of all types."""
    if not isinstance(value, dict):
        # It is not shown: it may be the URL of a webhook.
        raise PydanticCustomError("notify", 'expected a table, as {type = "log"}')
    kind = value.get("type")
    expected = f"expected one of {', '.join(TYPES)}"
    if kind is None:
        for key in value:
            if _near(str(key), ["type"]):
                raise _refused(_problem('no setting of this name. Did you mean "type"?', str(key)))
        raise _refused(_problem(f"is missing; {expected}", "type"))
    if not isinstance(kind, str) or kind not in TYPES:
        raise _refused(_problem(f"no type of channel; {expected}{_near(str(kind), [*TYPES])}", "type"))
    return TYPES[kind].model_validate(value)


Channel = Annotated[
    LogSettings | WebhookSettings | SlackSettings | MailSettings | AppriseSettings, WrapValidator(_channel)
]
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str | float)]


class RuleSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Annotated[list[str], Field(min_length=1, description="The names of channels.")]
    severity: Annotated[
        Literal["info", "warning", "error"] | None,
        Field(description="The least that goes there; warning, or info where kinds are named."),
    ] = None
    jobs: Annotated[list[str], Field(description='Names or patterns of jobs, as "fleet.*"; none: of all.')] = []
    kinds: Annotated[list[str], Field(description='Kinds of notices, as "failed" or "weekly_*"; none: of all.')] = []

    def as_rule(self) -> Rule:
        least = self.severity or ("info" if self.kinds else "warning")
        return Rule(tuple(self.to), least, tuple(self.jobs), tuple(self.kinds))


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Annotated[
        dict[str, Channel], Field(max_length=50, description="Where notices go, each by a name of yours.")
    ] = {}
    rules: Annotated[
        list[RuleSettings],
        Field(max_length=1000, description="What goes where; without any, warnings and errors go to all channels."),
    ] = []
    allow_hosts: Annotated[
        list[str], Field(description="Hosts of webhooks whose address is private, or this machine's own.")
    ] = []
    timeout: Annotated[Seconds, Field(description="For one try to send a notice.", le=60)] = 10.0
    quiet: Annotated[Seconds, Field(description="No two notices of one job and kind within this time.", ge=1)] = 300.0
    per_minute: Annotated[int, Field(ge=1, le=1000, description="At most so many notices a minute in all.")] = 20

    @property
    def allowed(self) -> frozenset[str]:
        return frozenset(host.lower().strip("[]") for host in self.allow_hosts)

    def ways(self) -> list[Rule]:
        """The rules, or the one that stands for none."""
        return [rule.as_rule() for rule in self.rules] or [Rule(tuple(self.all_channels()), "warning")]

    def all_channels(self) -> dict[str, Any]:
        return dict(self.channels) or {"log": LogSettings()}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := [*self._wrong_rules(), *self._wrong_hosts()]:
            raise _refused(*problems)
        return self

    def _wrong_rules(self) -> Iterator[InitErrorDetails]:
        known = [*self.all_channels()]
        for number, rule in enumerate(self.rules):
            for name in rule.to:
                if name not in known:
                    text = f'no channel named "{name[:60]}"; expected one of {", ".join(known)}{_near(name, known)}'
                    yield _problem(text, "rules", number, "to")
            for pattern in rule.jobs:
                if not _JOB.fullmatch(pattern):
                    text = f'"{pattern[:60]}" can be no job; expected a full name or a pattern, as "fleet.sync" or "fleet.*"'
                    yield _problem(text, "rules", number, "jobs")

    def _wrong_hosts(self) -> Iterator[InitErrorDetails]:
        for name, channel in self.channels.items():
            if isinstance(channel, WebhookSettings | SlackSettings):
                why = why_never(host_of(channel.url), self.allowed)
                if why:
                    yield _problem(why, "channels", name, "url")
