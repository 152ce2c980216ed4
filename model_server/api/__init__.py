"""The routes of both servers, one file per family."""

from model_server.api import classify, jobs, native, openai, ops, rerank, responses, tei, tokens
from model_server.http.routes import Route

ROUTES: list[Route] = [
    *native.ROUTES,
    *openai.ROUTES,
    *responses.ROUTES,
    *rerank.ROUTES,
    *classify.ROUTES,
    *tei.ROUTES,
    *tokens.ROUTES,
    *jobs.ROUTES,
    *ops.ROUTES,
]
