"""An agent of the official A2A SDK: it counts down, in the versions 0.3 and 1.0 of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOLLOWED: list[str] = []
"""The tasks that somebody follows, each once what it was has been told."""
CARD = "/.well-known/agent-card.json"


class Countdown(AgentExecutor):
    """``count N`` is a task with N artifacts; ``wait`` goes on until it is cancelled; anything else is answered."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        words = context.get_user_input().split()
        if words[:1] not in (["count"], ["wait"]):
            said = pb.Message(
                message_id="answer", role=pb.ROLE_AGENT, parts=[pb.Part(text=f"you said {' '.join(words)}")]
            )
            await event_queue.enqueue_event(said)
            return
        task = pb.Task(id=context.task_id, context_id=context.context_id)
        task.status.state = pb.TASK_STATE_SUBMITTED
        task.history.append(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        if words[0] == "wait":
            await asyncio.sleep(60)
        if not words[1].isdigit():
            await updater.failed()
            return
        for number in range(int(words[1]), 0, -1):
            await updater.add_artifact([pb.Part(text=str(number))], name=f"n{number}")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class Handler(DefaultRequestHandler):
    async def on_subscribe_to_task(self, params: Any, context: Any) -> AsyncGenerator[Any, None]:
        async for event in super().on_subscribe_to_task(params, context):
            FOLLOWED.append(params.id)
            yield event


def card(url: str, *versions: str, **changes: Any) -> pb.AgentCard:
    """The card of an agent at *url* that speaks *versions* of the protocol by JSON-RPC."""
    given: dict[str, Any] = {
        "name": "Countdown",
        "description": "counts",
        "version": "1",
        "supported_interfaces": [
            pb.AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version)
            for version in versions
        ],
        "capabilities": pb.AgentCapabilities(
            streaming=True, push_notifications=True, extended_agent_card=True
        ),
        "default_input_modes": ["text/plain"],
        "default_output_modes": ["text/plain"],
        "skills": [pb.AgentSkill(id="count", name="count", description="count down", tags=["numbers"])],
    }
    return pb.AgentCard(**{**given, **changes})


def app(
    url: Callable[[], str],
    *versions: str,
    allow: Callable[[Request], bool] = lambda request: True,
    **changes: Any,
) -> Starlette:
    """The agent, served at ``/a2a``, and its card. *url* says where that is; what *allow* does not is a 401."""
    described = card("http://later", *versions, **changes)
    extended = pb.AgentCard()
    extended.CopyFrom(described)
    extended.description = "counts, for those who are known"
    handler = Handler(
        agent_executor=Countdown(),
        task_store=InMemoryTaskStore(),
        agent_card=described,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=extended,
    )

    async def placed(given: pb.AgentCard) -> pb.AgentCard:
        for interface in given.supported_interfaces:
            interface.url = f"{url()}/a2a"
        return given

    class Guard(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            if request.url.path == CARD or allow(request):
                return await call_next(request)
            return PlainTextResponse("who are you?", status_code=401)

    return Starlette(
        routes=[
            *create_agent_card_routes(described, card_modifier=placed),
            *create_jsonrpc_routes(handler, "/a2a", enable_v0_3_compat="0.3" in versions),
        ],
        middleware=[Middleware(Guard)],
    )
