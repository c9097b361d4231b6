"""Operations on jobs, queues, breakers, plugins and kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import api_answers as answers
from . import api_questions as questions
from .api_operation import Operation, found
from .problem import Problem

if TYPE_CHECKING:
    from .api_operation import Asked


async def jobs(asked: Asked) -> Any:
    return {"items": await asked.control.jobs()}


async def job(asked: Asked) -> Any:
    return found(await asked.control.jobs(), "job", asked.name("job"))


async def queues(asked: Asked) -> Any:
    return {"items": await asked.control.queues_list()}


async def queue(asked: Asked) -> Any:
    return found(await asked.control.queues_list(), "queue", asked.name("queue"))


async def pause_queue(asked: Asked) -> Any:
    name = asked.name("queue")
    await asked.control.queues_pause(queue=name, duration=asked.body.duration)
    asked.acted("queues_pause", name, "" if asked.body.duration is None else f"for {asked.body.duration}")
    return await queue(asked)


async def resume_queue(asked: Asked) -> Any:
    name = asked.name("queue")
    await asked.control.queues_resume(queue=name)
    asked.acted("queues_resume", name)
    return await queue(asked)


async def resize_queue(asked: Asked) -> Any:
    name, concurrency = asked.name("queue"), asked.body.concurrency
    changes = await asked.control.queues_resize(queue=name, concurrency=concurrency)
    asked.acted("queues_resize", name, f"concurrency {concurrency}")
    return {"changes": changes}


async def breakers(asked: Asked) -> Any:
    return {"items": await asked.control.breakers_list()}


async def reset_breaker(asked: Asked) -> Any:
    name = asked.name("breaker")
    await asked.control.breakers_reset(breaker=name)
    asked.acted("breakers_reset", name)
    return found(await asked.control.breakers_list(), "breaker", name)


async def plugins(asked: Asked) -> Any:
    return {"items": await asked.control.plugins()}


async def plugin(asked: Asked) -> Any:
    return found(await asked.control.plugins(), "plugin", asked.name("plugin"))


async def release_plugin(asked: Asked) -> Any:
    name = asked.name("plugin")
    await asked.control.plugins_release(plugin=name)
    asked.acted("plugins_release", name)
    return await plugin(asked)


async def enable_plugin(asked: Asked) -> Any:
    name = asked.name("plugin")
    row = await asked.control.plugins_enable(plugin=name)
    asked.acted("plugins_enable", name, str(row.get("state", "")))
    return row


async def disable_plugin(asked: Asked) -> Any:
    name = asked.name("plugin")
    if name == "web":
        raise Problem(
            409,
            "Cannot be done",
            "the plugin web would end with this request; expected `mainspring plugins disable web`",
        )
    row = await asked.control.plugins_disable(plugin=name)
    asked.acted("plugins_disable", name, str(row.get("state", "")))
    return row


async def kernels(asked: Asked) -> Any:
    return {"items": await asked.control.kernels()}


async def health(asked: Asked) -> Any:
    return await asked.control.health()


async def reload(asked: Asked) -> Any:
    changes = await asked.control.reload()
    asked.acted("reload", "plugins.toml", "; ".join(changes))
    return {"changes": changes}


OPERATIONS = [
    Operation("GET", "/api/v1/jobs", "listJobs", "All jobs with their policies", "jobs", jobs, answers.Jobs),
    Operation("GET", "/api/v1/jobs/{job}", "showJob", "One job", "jobs", job, answers.Job),
    Operation("GET", "/api/v1/queues", "listQueues", "All queues: what waits, what runs, limits", "queues", queues, answers.Queues),
    Operation("GET", "/api/v1/queues/{queue}", "showQueue", "One queue", "queues", queue, answers.Queue),
    Operation(
        "POST", "/api/v1/queues/{queue}/pause", "pauseQueue", "None of its runs begins until it is resumed, or so long",
        "queues", pause_queue, answers.Queue, body=questions.Pause,
    ),
    Operation(
        "POST", "/api/v1/queues/{queue}/resume", "resumeQueue", "Its runs begin again", "queues", resume_queue,
        answers.Queue,
    ),
    Operation(
        "POST", "/api/v1/queues/{queue}/resize", "resizeQueue", "How many of it run at once, written into plugins.toml",
        "queues", resize_queue, answers.Changes, body=questions.Resize, needs_body=True,
    ),
    Operation("GET", "/api/v1/breakers", "listBreakers", "All circuit breakers", "breakers", breakers, answers.Breakers),
    Operation(
        "POST", "/api/v1/breakers/{breaker}/reset", "resetBreaker", "Close a breaker at once", "breakers", reset_breaker,
        answers.Breaker,
    ),
    Operation("GET", "/api/v1/plugins", "listPlugins", "All plugins, their state and faults", "plugins", plugins, answers.Plugins),
    Operation("GET", "/api/v1/plugins/{plugin}", "showPlugin", "One plugin", "plugins", plugin, answers.Plugin),
    Operation(
        "POST", "/api/v1/plugins/{plugin}/release", "releasePlugin", "Let it out of quarantine", "plugins", release_plugin,
        answers.Plugin, refused=409,
    ),
    Operation(
        "POST", "/api/v1/plugins/{plugin}/enable", "enablePlugin", "Switch it on, in plugins.toml", "plugins",
        enable_plugin, answers.Plugin, seconds=120.0, refused=409,
    ),
    Operation(
        "POST", "/api/v1/plugins/{plugin}/disable", "disablePlugin", "Switch it off, in plugins.toml", "plugins",
        disable_plugin, answers.Plugin, seconds=120.0, refused=409,
    ),
    Operation("GET", "/api/v1/kernels", "listKernels", "The kernels on this store", "kernel", kernels, answers.Kernels),
    Operation("GET", "/api/v1/health", "showHealth", "What is well and what is not, and why", "kernel", health, answers.Health),
    Operation(
        "POST", "/api/v1/reload", "reload", "Read plugins.toml again", "kernel", reload, answers.Changes, seconds=120.0,
    ),
]  # fmt: skip
