"""The pages, as a Starlette application."""

import secrets
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.operate.last_hours import HOURS
from clt_queued_run_coordinator.page import charts, views, words
from clt_queued_run_coordinator.page.access import Access, ForgedHeadersError, Viewer
from clt_queued_run_coordinator.page.changes import ACTIONS, FIELDS, NotAllowedError, prepare
from clt_queued_run_coordinator.page.readings import KEPT, Readings
from clt_queued_run_coordinator.page.safety import (
    COOKIE,
    ForeignPostError,
    SafeHeaders,
    Tokens,
    refuse_other_sites,
)
from clt_queued_run_coordinator.page.views import View
from clt_queued_run_coordinator.text import formats
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.safe import describe, safe

LONGEST_BODY = 10_000
"""The most bytes of a form."""

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """How the pages are served.

    Attributes:
        path_prefix: The path that they stand under, such as `/queue`; empty for the root.
        dagster_url: Where Dagster's own pages are, without a slash at the end; None for no links to them.
        access: Who may change what.
    """

    path_prefix: str = ""
    dagster_url: str | None = None
    access: Access = field(default_factory=Access)


class Pages:
    """Renders the pages."""

    def __init__(self, readings: Readings, options: Options) -> None:
        self.readings = readings
        self.options = options
        self._tokens = Tokens()
        self._rendered: dict[Hashable, tuple[View, str]] = {}
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        self._templates.globals |= {
            "to": self.to,
            "dagster_run": self.dagster_run,
            "duration": formats.duration,
            "timestamp": formats.timestamp,
            "ordinal": formats.ordinal,
            "actions": ACTIONS,
            "charts": charts,
            "dagster_url": options.dagster_url,
            "hours": HOURS,
            "words": words,
        }

        self._base = self._templates.get_template("base.html")

    def to(self, path: str, **query: object) -> str:
        """The address of one of these pages."""
        given = {key: value for key, value in query.items() if value not in (None, "")}
        return f"{self.options.path_prefix}/{path}{'?' if given else ''}{urlencode(given)}"

    def dagster_run(self, run_id: str) -> str | None:
        """The address of Dagster's page of a run."""
        base = self.options.dagster_url
        return None if base is None else f"{base}/runs/{quote(run_id, safe='')}"

    def viewer(self, request: Request) -> Viewer:
        """Who sent a request.

        Raises:
            ForgedHeadersError: Somebody else than the proxy said who they are.
        """
        values = {name: request.headers.getlist(name) for name in request.headers}
        return self.options.access.viewer(request.client.host if request.client else None, values)

    def render(self, viewer: Viewer, view: View) -> Response:
        """A page as HTML."""
        content = self._content(viewer, view)
        return HTMLResponse(self._base.render(view=view, viewer=viewer, content=content), view.status)

    def _content(self, viewer: Viewer, view: View) -> str:
        """What a page shows of the queue, rendered once for all who may change the same."""
        texts = [value for value in view.data.values() if type(value) is str]
        key = (view.template, view.title, viewer.is_platform, viewer.groups, *texts)
        before = self._rendered.get(key)
        if before and view.shows_the_same_as(before[0]):
            return before[1]
        limits = view.queue.now.state.settings.code_location_limits if view.queue else CodeLocationLimits()
        content = self._templates.get_template(view.template).render(
            view=view, viewer=viewer, may_change=lambda name: viewer.may_change(limits, [name]), **view.data
        )
        if len(self._rendered) >= KEPT:
            self._rendered.clear()
        if view.is_live:
            self._rendered[key] = view, content
        return content

    def look(self, make: Callable[["Pages", Mapping[str, str]], View]) -> Callable[[Request], Response]:
        """The answer to somebody who looks at a page."""
        return lambda request: self.render(self.viewer(request), make(self, request.query_params))

    def ask(self, request: Request) -> Response:
        """The form of a change. It comes with a cookie that no other site can send along."""
        viewer, cookie = self.viewer(request), request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        form = dict.fromkeys(FIELDS, "") | {
            name: value for name, value in request.query_params.items() if name in FIELDS
        }
        answer = self.render(viewer, views.change(self, form, self._token(cookie, viewer)))
        is_https = self._told(request, "x-forwarded-proto", request.url.scheme) == "https"
        path = self.options.path_prefix or "/"
        answer.set_cookie(COOKIE, cookie, path=path, secure=is_https, httponly=True, samesite="strict")
        return answer

    def change(self, request: Request, body: bytes) -> Response:
        """Show what a change would do, or make it.

        Raises:
            RefusalError: It comes from elsewhere.
        """
        host = request.headers.get("host", "")
        refuse_other_sites(request.headers, {host.lower(), self._told(request, "x-forwarded-host", host).lower()})
        viewer, cookie = self.viewer(request), request.cookies.get(COOKIE, "")
        sent = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=20))
        self._tokens.check(sent.get("token", ""), cookie, viewer.user or "")
        form = {name: sent.get(name, "") for name in FIELDS}
        token = self._token(cookie, viewer)
        try:
            prepared = prepare(form, viewer, self.readings.opened(), self.readings.queue_of_now())
            if sent.get("step") != "do":
                return self.render(viewer, views.change(self, form, token, prepared=prepared))
            prepared.write()
        except NotAllowedError as error:
            return self.render(viewer, views.change(self, form, token, refusal=str(error), status=403))
        except RefusalError as error:
            return self.render(viewer, views.change(self, form, token, refusal=str(error), status=400))
        self.readings.outdate()
        name = prepared.code_location
        then = self.to("changes") if name is None else self.to("location", name=name)
        return RedirectResponse(then, 303)

    def _token(self, cookie: str, viewer: Viewer) -> str:
        return self._tokens.make(cookie, viewer.user or "")

    def _told(self, request: Request, name: str, otherwise: str) -> str:
        """What the proxy tells in a header; otherwise what the request itself says."""
        client = request.client.host if request.client else None
        return request.headers.get(name, otherwise) if self.options.access.is_trusted(client) else otherwise


def _shown(value: object) -> object:
    """What a template writes: any text as one safe line, before Jinja escapes it."""
    return safe(value) if type(value) is str else value


def application(readings: Readings, options: Options) -> SafeHeaders:
    """The application that serves the pages."""
    pages = Pages(readings, options)

    async def post(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_BODY:
                return PlainTextResponse("This form is too long.", 413)
        return await run_in_threadpool(pages.change, request, body)

    changing = [
        Route("/change", pages.ask, methods=["GET"]),
        Route("/change", post, methods=["POST"]),
    ]
    routes = [
        Route("/", pages.look(views.overview)),
        Route("/location", pages.look(views.code_location)),
        Route("/run", pages.look(views.run)),
        Route("/changes", pages.look(views.changes)),
        *(changing if options.access.allow_changes else ()),
        Route("/healthz", lambda _: PlainTextResponse("ok")),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]

    def fail(_: Request, error: Exception) -> Response:
        return PlainTextResponse(
            f"That failed: {describe(error)}. What was changed is in the list of changes.", 503
        )

    def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 403)

    prefix = options.path_prefix
    outside: list[Any] = [Route(prefix, lambda _: RedirectResponse(f"{prefix}/"))] if prefix else []
    app = Starlette(
        routes=[*outside, Mount(prefix, routes=routes)],
        exception_handlers={ForgedHeadersError: refuse, ForeignPostError: refuse, Exception: fail},
    )
    return SafeHeaders(app)
