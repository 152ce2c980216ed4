"""The routes of both servers, one file per family."""

from model_server.api import jobs, native, openai, ops, tei, tokens
from model_server.http.routes import Route

ROUTES: list[Route] = [*native.ROUTES, *openai.ROUTES, *tei.ROUTES, *tokens.ROUTES, *jobs.ROUTES, *ops.ROUTES]
