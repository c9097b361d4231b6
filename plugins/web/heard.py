"""What of the kernel's life the web plugin listens to: ends of runs to be counted, and what changes what pages show."""

from __future__ import annotations

from kernel.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    ConfigRejected,
    ConfigReloaded,
    Event,
    HealthChanged,
    KernelStarted,
    KernelStopping,
    PluginBroken,
    PluginDisabled,
    PluginEnabled,
    PluginFaulted,
    PluginQuarantined,
    PluginReleased,
    QueuePaused,
    QueueResumed,
    RunFailed,
    RunsCompleted,
    ScheduleAdded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
)

Ended = RunsCompleted | RunFailed
Heard = (
    Ended
    | SchedulePaused | ScheduleResumed | ScheduleAdded | ScheduleRemoved
    | QueuePaused | QueueResumed
    | PluginEnabled | PluginDisabled | PluginBroken | PluginFaulted | PluginQuarantined | PluginReleased
    | ConfigReloaded | ConfigRejected | KernelStarted | KernelStopping
    | HealthChanged | BreakerOpened | BreakerHalfOpened | BreakerClosed
)  # fmt: skip
TOPIC_OF: dict[type[Event], str] = {
    SchedulePaused: "schedules", ScheduleResumed: "schedules", ScheduleAdded: "schedules", ScheduleRemoved: "schedules",
    QueuePaused: "queues", QueueResumed: "queues",
    PluginEnabled: "plugins", PluginDisabled: "plugins", PluginBroken: "plugins", PluginFaulted: "plugins",
    PluginQuarantined: "plugins", PluginReleased: "plugins", ConfigReloaded: "plugins",
    ConfigRejected: "plugins",
    HealthChanged: "health", BreakerOpened: "health", BreakerHalfOpened: "health", BreakerClosed: "health",
}  # fmt: skip
"""Event -> the topic of the pages that show it; see live.py. Of runs the kernel's own counters tell."""
