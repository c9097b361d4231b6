"""Turns what the kernel tells into notices, and has them sent: the incidents decide what and when, the rules where to."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from kernel import Check, Notice, Periodic, words
from kernel.events import KernelStarted, Notified, PluginBroken, RunFailed

from .deliveries import Deliveries, key_of_channel
from .incidents import Incident, Incidents
from .outbox import CHANNEL_FAILED, with_newest
from .past import is_over, missed_failures
from .redaction import Redactor, secrets_in
from .sources import Happened, Over, by_run, key_of, meaning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kernel import Kernel
    from kernel.model.events import Event

    from .incidents import Message
    from .settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often it is looked whether jobs whose failure is open have completed a run since."""
_SAVE_SECONDS = 1.0
_STORE_SECONDS = 3.0
_MOST_LOOKS = 20
_MOST_RUNS = 1_000
_LOG_LINES = 10
_LONGEST_TEXT = 200
_INCIDENT, _OUTBOX, _SEEN = "incident ", "outbox ", "seen"


class Notifier:
    def __init__(self, settings: Settings, kernel: Kernel) -> None:
        self._settings = settings
        self._kernel = kernel
        self._clock = kernel.clock
        self._values = kernel.values("notify")
        self._incidents = Incidents(settings.quiet, settings.per_minute)
        self.deliveries = Deliveries(settings, kernel, self._outbox_changed, self._channel_fails, self._channel_works)
        self._told_in: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._early: list[Event] | None = []
        """What is told before it is known what an earlier life has left; None from then on."""
        self._woken = asyncio.Event()
        self._is_unsaved = False
        self._saved_outboxes: dict[str, list[Notice]] = {}
        self._saved_at = -_SAVE_SECONDS
        self._cannot_save = False
        self._task: asyncio.Task[None] | None = None
        self._looks = Periodic("notices", LOOK_SECONDS, self._look, kernel.clock)

    async def start(self) -> None:
        waiting = await self._take_up()
        early, self._early = self._early or [], None
        self.hear(early)
        self.deliveries.start(waiting, self._incidents.open_ones())
        self._task = asyncio.create_task(self._work(), name="mainspring:notify")
        await self._looks.start()

    async def stop(self) -> None:
        await self._looks.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self._turn()
        await self.deliveries.stop()
        await self._save({})

    def hear(self, events: Sequence[Event]) -> None:
        if self._early is not None:
            self._early += events
            return
        now = self._clock.now()
        for event in events:
            if isinstance(event, KernelStarted):
                self._settle(now)
            for found in meaning(event):
                if isinstance(found, Over):
                    self._incidents.over(found.key, now)
                else:
                    self._happened(found, event, now)
        self._woken.set()

    def open_checks(self) -> list[Check]:
        """One for each incident that is open: who asks for health hears what people were told."""
        redactor, now = self._redactor(), self._clock.now()
        return [_as_check(key, one, redactor, now) for key, one in self._incidents.open_ones().items()]

    # What has happened

    def _happened(self, found: Happened, event: Event, now: float) -> None:
        if isinstance(event, Notified) and event.level == "error":
            self._told_in[event.run] = event.attempt, found.key
            self._told_in.move_to_end(event.run)
            while len(self._told_in) > _MOST_RUNS:
                self._told_in.popitem(last=False)
        elif isinstance(event, RunFailed):
            # The job has told this failure itself, in its own words.
            attempt, key = self._told_in.pop(event.run, (None, ""))
            if attempt == event.attempt:
                found = found._replace(key=key, counts=False)
            known = self._incidents[found.key]
            if known is not None and known.failed_in.get(event.run) == event.attempt:
                return
        self._incidents.happened(found.key, found.notice, now, lasts=found.lasts, counts=found.counts)

    def _channel_fails(self, name: str, problem: str) -> None:
        if name not in self._settings.all_channels():
            return
        now = self._clock.now()
        notice = Notice(
            at=now, severity="warning", kind=CHANNEL_FAILED, text=f"notices by {name} cannot be sent: {problem}",
            context={"channel": name},
        )  # fmt: skip
        self._incidents.happened(key_of_channel(name), notice, now, lasts=True)
        self._woken.set()

    def _channel_works(self, name: str) -> None:
        self._incidents.over(key_of_channel(name), self._clock.now())
        self._woken.set()

    def _outbox_changed(self) -> None:
        self._is_unsaved = True
        self._woken.set()

    def _settle(self, now: float) -> None:
        """What was wrong with an earlier life of the kernel and is not with this one; and what broke before anybody listened."""
        plugins = {}
        for state in self._kernel.plugin_states():
            plugins[state["plugin"]] = state["state"]
            if state["state"] == "broken":
                for found in meaning(PluginBroken(now, state["plugin"], state["reason"], state["place"])):
                    if isinstance(found, Happened):
                        self._incidents.happened(found.key, found.notice, now, lasts=True, counts=False)
        for key, one in self._incidents.open_ones().items():
            subject = key.partition(" ")[2]
            match one.latest.kind:
                case "config_rejected" | "store_troubled":
                    self._incidents.over(key, now)
                case "plugin_broken" | "plugin_quarantined" if plugins.get(subject) != "broken":
                    self._incidents.over(key, now)

    async def _look(self) -> None:
        """Whether jobs whose failure is open have completed a run since."""
        waiting = [(key, one) for key, one in self._incidents.open_ones().items() if by_run(key, one.latest)]
        for key, one in waiting[:_MOST_LOOKS]:
            if await is_over(self._kernel.control, one):
                self._incidents.over(key, self._clock.now())
                self._woken.set()

    # Sending

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._turn()
            except Exception:
                log.exception("notices: a turn failed; what it would have sent is tried again when something happens")
            self._wake_in_time()

    def _wake_in_time(self) -> None:
        now = self._clock.now()
        waits = [] if (due := self._incidents.next_at(now)) is None else [due - now]
        if self._incidents.changed or self._is_unsaved:
            waits.append(self._saved_at + _SAVE_SECONDS - self._clock.elapsed())
        if waits:
            self._clock.call_in(max(min(waits), 0.01), self._woken.set)

    async def _turn(self) -> None:
        redactor = self._redactor()
        put: dict[str, list[Notice]] = {}
        for message in self._incidents.due(self._clock.now()):
            names = self.deliveries.names_for(message)
            self._incidents.told(message.notice.key, names)
            if names:
                notice = redactor.notice(await self._completed(message))
                for name in names:
                    put.setdefault(name, []).append(notice)
        if put or self._is_unsaved or self._clock.elapsed() >= self._saved_at + _SAVE_SECONDS:
            # Written before it is sent: after a crash a notice may come twice, and is not lost.
            await self._save(put, redactor)
        for name, notices in put.items():
            for notice in notices:
                self.deliveries.outboxes[name].put(notice)

    async def _completed(self, message: Message) -> Notice:
        """With traceback and log of its run, as far as the notice does not have them and the store does."""
        notice = message.notice
        if not notice.run or notice.state not in {"failing", "still failing"} or (notice.traceback and notice.log):
            return notice
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                run = await self._kernel.control.runs_show(run=notice.run)
        except Exception as error:  # noqa: BLE001 - the notice is more important than its last lines
            log.info("a notice goes without the log of run %s: %s", notice.run, type(error).__name__)
            return notice
        failure = run["error"] or {}
        lines = [f"{line['at']} {line['level']} {line['text']}" for line in run["log"][-_LOG_LINES:]]
        return replace(
            notice,
            error=notice.error or failure.get("type", ""),
            traceback=notice.traceback or failure.get("traceback", ""),
            log=notice.log or tuple(lines),
        )

    def _redactor(self) -> Redactor:
        config = self._kernel.config
        secrets = [secret for plugin in config.plugins.values() for secret in secrets_in(plugin.settings)]
        return Redactor(config.source.scrub, [*secrets, *_secrets_of(self._settings)])

    # What is kept over a restart

    async def _take_up(self) -> Mapping[str, Sequence[Notice]]:
        """What an earlier life has left: the incidents, and by outbox what it has not sent."""
        waiting: dict[str, list[Notice]] = {}
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                rows = await self._values.get()
        except Exception as error:  # noqa: BLE001 - notices are sent without a store too
            log.warning("notices: what was known of incidents cannot be read: %s", error)
            return {}
        for key, row in rows.items():
            try:
                if key.startswith(_INCIDENT):
                    self._take_up_one(key.removeprefix(_INCIDENT), Incident.from_json(row))
                elif key.startswith(_OUTBOX):
                    found = [Notice(**notice | {"log": tuple(notice["log"])}) for notice in row]
                    waiting[key.removeprefix(_OUTBOX)] = found
            except (TypeError, KeyError, ValueError, AttributeError) as error:
                log.warning("notices: %r cannot be read and is left out: %s", key, error)
        self._saved_outboxes = {name: found for name, found in waiting.items() if name in self.deliveries.outboxes}
        now = self._clock.now()
        if isinstance(seen := rows.get(_SEEN), int | float):
            for failed in await missed_failures(self._kernel.control, seen, now):
                known = self._incidents[key_of(failed.job, failed.kind)]
                if known is None or known.failed_in.get(failed.run) != failed.attempt:
                    self._incidents.happened(key_of(failed.job, failed.kind), failed, now, lasts=True)
        self._is_unsaved = True
        self._woken.set()
        return waiting

    def _take_up_one(self, key: str, one: Incident) -> None:
        self._incidents.take_up(key, one)
        if one.latest.kind == CHANNEL_FAILED:
            # Whether it fails as it is set now nobody knows before it is tried; one that is gone does not.
            one.unsaid, one.due = 0, None
            if key not in map(key_of_channel, self._settings.all_channels()):
                self._incidents.over(key, self._clock.now())

    async def _save(self, put: Mapping[str, Sequence[Notice]], redactor: Redactor | None = None) -> None:
        """Incidents that have changed, and what is in the outboxes once ``put`` is."""
        redactor = redactor or self._redactor()
        changed, self._incidents.changed = self._incidents.changed, set()
        rows: dict[str, Any] = {_SEEN: self._clock.now()} if changed or self._is_unsaved else {}
        for key in changed:
            one = self._incidents[key]
            rows[_INCIDENT + key] = None if one is None else _as_row(one, redactor)
        outboxes = {}
        for name, outbox in self.deliveries.outboxes.items():
            waiting = outbox.waiting
            for notice in put.get(name, ()):
                waiting = [*with_newest(waiting, notice)]
            outboxes[name] = waiting
            if waiting != self._saved_outboxes.get(name, []):
                rows[_OUTBOX + name] = [_as_dict(notice) for notice in waiting[-_MOST_KEPT:]] or None
        if not rows:
            return
        self._saved_at = self._clock.elapsed()
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._values.put(rows)
        except Exception as error:  # noqa: BLE001 - a store in trouble is one of the things to send notices of
            self._incidents.changed |= changed
            if not self._cannot_save:
                log.warning("notices: what is known of incidents cannot be kept, and will be later: %s", error)
            self._cannot_save = True
        else:
            self._cannot_save = self._is_unsaved = False
            self._saved_outboxes = outboxes


_MOST_KEPT = 20


def _as_dict(notice: Notice) -> dict[str, Any]:
    return {name: getattr(notice, name) for name in Notice.__dataclass_fields__} | {
        "context": dict(notice.context),
        "log": list(notice.log),
    }


def _as_check(key: str, one: Incident, redactor: Redactor, now: float) -> Check:
    latest, is_error = one.latest, one.latest.severity == "error"
    name = redactor.text(f"{latest.job}/{latest.kind}" if by_run(key, latest) else key)
    said = redactor.text(latest.text).partition("\n")[0][:_LONGEST_TEXT]
    return Check(
        f"incident {name}",
        "failing" if is_error else "degraded",
        ok=not is_error,
        text=f"×{one.times} in {words(max(now - one.since, 0.0))}: {said}",  # noqa: RUF001 - times, as people write it
        since=one.since,
        details={"incident": name, "severity": latest.severity, "kind": latest.kind, "times": one.times},
    )


def _as_row(one: Incident, redactor: Redactor) -> dict[str, Any]:
    texts = [redactor.text(text) for text in one.texts]
    contexts = redactor.value(one.contexts)
    return replace(one, latest=redactor.notice(one.latest), texts=texts, contexts=contexts).as_json()


def _secrets_of(settings: Any) -> Iterator[str]:
    """The texts that a model has as secrets."""
    if isinstance(settings, SecretStr):
        yield settings.get_secret_value()
    elif isinstance(settings, BaseModel):
        for name in type(settings).model_fields:
            yield from _secrets_of(getattr(settings, name))
    elif isinstance(settings, dict | list | tuple):
        for item in settings.values() if isinstance(settings, dict) else settings:
            yield from _secrets_of(item)
