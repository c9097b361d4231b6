"""The addresses of the site, by what is shown there."""

from __future__ import annotations

from . import (
    api,
    bulk_page,
    extension_page,
    health_page,
    jobs_page,
    login_page,
    now_page,
    plugins_page,
    queues_page,
    run_page,
    runs_page,
    schedules_page,
    static_files,
)

ROUTES = [
    *api.ROUTES,
    *now_page.ROUTES,
    *runs_page.ROUTES,
    *bulk_page.ROUTES,
    *run_page.ROUTES,
    *schedules_page.ROUTES,
    *queues_page.ROUTES,
    *jobs_page.ROUTES,
    *health_page.ROUTES,
    *plugins_page.ROUTES,
    *login_page.ROUTES,
    *extension_page.ROUTES,
    *static_files.ROUTES,
]
