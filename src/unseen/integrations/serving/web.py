"""The service over HTTP: `/generate`, `/encode`, `/erasers`, `/health`, `/metrics`.

Annotations are not put off here (`from __future__`): FastAPI reads those of functions that are made inside another.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any

from ...errors import AuditError, ServeError, UnseenError
from .files import MEDIA_TYPES, Kind, as_file
from .policy import Choice, Customers
from .service import Done, Service

NEEDS = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}
"""Modules and the packages that they come in."""
_RETRY_AFTER = "1"
_SAID = 200
"""Characters of what a client sent that are said back."""
log = logging.getLogger("unseen")


def require_packages() -> None:
    """Raise `ServeError` where a package of the extra `serve` is missing."""
    missing = [package for module, package in NEEDS.items() if find_spec(module) is None]
    if missing:
        raise ServeError(500, f'Serving needs {", ".join(missing)}: pip install "unseen[serve]".')


def build_app(service: Service, customers: Customers, *, frame_rate: float = 8.0, close: bool = True) -> Any:
    """The FastAPI application; with `close` it closes the service when it shuts down. Clips have `frame_rate` frames a
    second unless a request says otherwise.

    Raises `ServeError` where the packages of the extra `serve` are missing.
    """
    require_packages()
    from contextlib import asynccontextmanager

    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from pydantic import BaseModel, ConfigDict, Field

    limits, metrics = service.limits, Metrics(service)

    class Asked(BaseModel):
        model_config = ConfigDict(extra="forbid")  # a misspelt "erasers" must not be overlooked
        erasers: dict[str, float | None] = Field(default_factory=dict)
        negative_prompt: str | None = Field(default=None, max_length=limits.characters)
        max_sequence_length: int | None = Field(default=None, ge=1, le=4096)

    class ToEncode(Asked):
        prompts: list[str] = Field(min_length=1, max_length=limits.prompts)

    class ToGenerate(Asked):
        prompt: str = Field(max_length=limits.characters)
        seed: int = Field(default=0, ge=0, lt=1 << 63)
        num_inference_steps: int | None = Field(default=None, ge=1, le=limits.steps)
        num_frames: int | None = Field(default=None, ge=1, le=limits.frames)
        height: int | None = Field(default=None, ge=16, le=4096)
        width: int | None = Field(default=None, ge=16, le=4096)
        guidance_scale: float | None = Field(default=None, ge=0, le=50)
        format: Kind = "mp4"
        fps: float = Field(default=frame_rate, gt=0, le=120)

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        if close:
            await asyncio.to_thread(service.close)

    app = FastAPI(title="unseen", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    app.add_middleware(_Bounded, limit=limits.body)

    @app.middleware("http")
    async def count(request: Request, proceed: Callable[[Request], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        try:
            response = await proceed(request)
        except Exception as error:  # whatever broke: the client hears that it did, the log what
            log.exception("a request failed")
            why = f"this request failed in the pipeline ({type(error).__name__}); the server's log says more."
            response = JSONResponse({"error": "ServeError", "detail": why}, 500)
        metrics.served(_route(request), response.status_code, time.perf_counter() - began)
        return response

    @app.exception_handler(UnseenError)
    async def refused(request: Request, error: UnseenError) -> Any:
        status = error.status if isinstance(error, ServeError) else 500 if isinstance(error, AuditError) else 422
        headers = {"Retry-After": _RETRY_AFTER} if status == 503 else {}
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def misunderstood(request: Request, error: RequestValidationError) -> Any:
        first, *others = error.errors()
        place = ".".join(str(one) for one in first["loc"][1:])[:_SAID] or "the body"
        rest = f" ({len(others)} more like this)" if others else ""
        detail = f"{place}: {first['msg'][:_SAID]}{rest}; GET /docs shows what is expected."
        return JSONResponse({"error": "RequestValidationError", "detail": _printable(detail)}, 422)

    def asking(request: Request, asked: Asked) -> tuple[Choice, str, dict[str, Any]]:
        customer = customers.of(request.headers.get("authorization"))
        choice = customer.choice(asked.erasers, service.own_strengths)
        beside = {"erasers", "prompt", "prompts", "seed", "format", "fps"}
        options = {n: v for n, v in asked.model_dump().items() if v is not None and n not in beside}
        return choice, f"{customer.name}:{uuid.uuid4().hex}", options

    def headers(done: Done, request_id: str) -> dict[str, str]:
        return {
            "X-Request-Id": request_id,
            "X-Unseen-Erasers": ",".join(done.erasers),
            "X-Unseen-Fired": json.dumps(done.fired),
        }

    @app.post("/encode")
    async def encode(asked: ToEncode, request: Request) -> Response:
        if any(len(prompt) > limits.characters for prompt in asked.prompts):
            raise ServeError(422, f"expected prompts of at most {limits.characters} characters.")
        choice, request_id, options = asking(request, asked)
        done = await _done(service.encode(asked.prompts, choice, request_id, **options))
        return Response(done.value.packed(), media_type="application/octet-stream", headers=headers(done, request_id))

    @app.post("/generate")
    async def generate(asked: ToGenerate, request: Request) -> Response:
        if (asked.height or 1) * (asked.width or 1) > limits.pixels:
            raise ServeError(422, f"expected frames of at most {limits.pixels} pixels.")
        choice, request_id, options = asking(request, asked)
        done = await _done(service.generate(asked.prompt, asked.seed, choice, request_id, **options))
        body = await asyncio.to_thread(as_file, done.value, asked.format, asked.fps)
        return Response(body, media_type=MEDIA_TYPES[asked.format], headers=headers(done, request_id))

    @app.get("/erasers")
    async def erasers(request: Request) -> dict[str, Any]:
        customer = customers.of(request.headers.get("authorization"))
        return {"customer": customer.name, "always": dict(customer.always), "attached": service.own_strengths}

    @app.get("/health")
    async def health() -> Response:
        status = service.handle.status() if service.handle is not None else None
        facts = {
            "status": "ok" if service.healthy else "unhealthy",
            "pipeline": type(service.pipe).__name__,
            "erasers": list(status.erasers) if status else [],
            "paraphrases": status.paraphrases if status else "off: no erasers",
            "admitted": service.admitted,
        }
        return JSONResponse(facts, 200 if service.healthy else 503)

    @app.get("/metrics")
    async def measured() -> Response:
        return Response(metrics.text(), media_type=metrics.kind)

    service.tell = metrics.heard
    return app


class _Bounded:
    """ASGI: a body that is too long is refused before it is read to its end."""

    def __init__(self, app: Any, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        from starlette.exceptions import HTTPException

        read = 0

        async def bounded() -> Any:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                why = f"expected a request of at most {self._limit} bytes."
                raise HTTPException(413, why, {"Connection": "close"})  # or the rest would be read, and thrown away
            return message

        await self._app(scope, bounded, send)


class Metrics:
    """What Prometheus reads."""

    def __init__(self, service: Service) -> None:
        import prometheus_client as prometheus

        self._prometheus, self._registry = prometheus, prometheus.CollectorRegistry()
        made: dict[str, Any] = {"registry": self._registry}
        self._requests = prometheus.Counter(
            "unseen_requests", "Requests by route and status", ["route", "status"], **made
        )
        self._seconds = prometheus.Histogram("unseen_request_seconds", "From request to answer", ["route"], **made)
        self._prompts = prometheus.Counter("unseen_prompts", "Prompts that were encoded", **made)
        self._fired = prometheus.Counter("unseen_fired", "Prompts in which a concept was erased", ["concept"], **made)
        self._refused = prometheus.Counter("unseen_refused", "Prompts and embeddings that erasers refused", **made)
        admitted = prometheus.Gauge("unseen_admitted", "Requests that run or wait", **made)
        admitted.set_function(lambda: service.admitted)
        attached = prometheus.Gauge("unseen_healthy", "1 while all erasers are in place", **made)
        attached.set_function(lambda: float(service.healthy))
        self.kind = prometheus.CONTENT_TYPE_LATEST

    def served(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def heard(self, event: dict[str, Any]) -> None:
        """Erasers did something."""
        if event["event"] == "encoded":
            self._prompts.inc()
            for concept in {fired["concept"] for fired in event["fired"]}:
                self._fired.labels(concept).inc()
        elif event["event"] == "refused":
            self._refused.inc()

    def text(self) -> bytes:
        """All of it."""
        return self._prometheus.generate_latest(self._registry)


async def _done(future: Future[Done]) -> Done:
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError as error:
        if future.cancelled():
            raise ServeError(503, "this server is closing.") from error
        raise
    except (ValueError, TypeError) as error:  # what the pipeline says of its arguments
        if isinstance(error, UnseenError):
            raise
        raise ServeError(422, f"the pipeline refuses this request: {error}") from error


def _printable(text: str) -> str:
    """With a sign for halves of characters, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()


def _route(request: Any) -> str:
    path = request.url.path
    return path if path in ("/generate", "/encode", "/erasers", "/health", "/metrics") else "other"
