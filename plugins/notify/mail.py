"""The channel ``mail``: notices as e-mail."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from .channel import DeliveryError
from .wording import text_of, title_of

if TYPE_CHECKING:
    from kernel import Notice

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _checked_address(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except Exception:  # noqa: BLE001 - the parser raises IndexError and others for what is no address
        address = None
    if address is None or not address.username or not address.domain or not text.isprintable() or " " in text:
        raise ValueError('expected an e-mail address, as "ops@example.com"')
    return text


Mailbox = Annotated[str, AfterValidator(_checked_address)]


class MailSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: Literal["mail"]
    host: Annotated[str, Field(description="The mail server.", min_length=1, max_length=255, pattern=r"^[^\s/@]+$")]
    port: Annotated[int | None, Field(ge=1, le=65535, description="587, 465 or 25, as `encryption` is.")] = None
    encryption: Annotated[
        Literal["starttls", "tls", "none"],
        Field(description='"none" sends notices, and a password, readable for all on the way.'),
    ] = "starttls"
    username: Annotated[str | None, Field(description="Where the server asks for a login.")] = None
    password: SecretStr | None = None
    sender: Annotated[Mailbox, Field(description="From whom notices come.")]
    to: Annotated[list[Mailbox], Field(min_length=1, max_length=100, description="To whom they go.")]
    subject: Annotated[str, Field(description="What all subjects begin with.", max_length=60)] = "[mainspring]"

    @field_validator("subject")
    @classmethod
    def _is_one_line(cls, subject: str) -> str:
        if not subject.isprintable():
            raise ValueError("expected a text of one line")
        return subject


class MailChannel:
    """A connection for each notice: there are few."""

    def __init__(self, settings: MailSettings, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds

    async def send(self, notice: Notice) -> None:
        import aiosmtplib  # noqa: PLC0415 - slow to import, and the first notice may never come

        settings = self._settings
        host = settings.host
        password = None if settings.password is None else settings.password.get_secret_value()
        try:
            await aiosmtplib.send(
                self._message(notice), hostname=host, port=settings.port or _PORTS[settings.encryption],
                username=settings.username, password=password, timeout=self._timeout_seconds,
                use_tls=settings.encryption == "tls", start_tls=settings.encryption == "starttls",
            )  # fmt: skip
        except (aiosmtplib.SMTPTimeoutError, TimeoutError):
            raise DeliveryError(f"{host}: no answer within {self._timeout_seconds:g} s") from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DeliveryError(f"{host}: the login was refused ({error.code})") from None
        except aiosmtplib.SMTPRecipientsRefused:
            raise DeliveryError(f"{host}: all recipients were refused", is_final=True) from None
        except aiosmtplib.SMTPResponseException as error:
            text = f"{host}: answered {error.code} {_in_a_line(error.message)}"
            raise DeliveryError(text, is_final=500 <= error.code < 600) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"{host}: {_in_a_line(str(error)) or type(error).__name__}") from None

    async def close(self) -> None:
        """Nothing is open."""

    def _message(self, notice: Notice) -> EmailMessage:
        settings = self._settings
        message = EmailMessage()
        message["From"] = settings.sender
        message["To"] = ", ".join(settings.to)
        message["Subject"] = f"{settings.subject} {title_of(notice)}".strip()
        message["Date"] = format_datetime(datetime.fromtimestamp(notice.at, UTC))
        message["Message-ID"] = make_msgid(domain="mainspring.invalid")
        message["Auto-Submitted"] = "auto-generated"  # a machine on holiday does not answer
        if notice.state:
            # All mails of one incident are shown as one conversation.
            message["References"] = f"<{_thread(notice)}@mainspring.invalid>"
        message.set_content(text_of(notice))
        return message


def _thread(notice: Notice) -> str:
    return hashlib.sha256(f"{notice.key} {notice.since}".encode()).hexdigest()[:32]


def _in_a_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:200]
