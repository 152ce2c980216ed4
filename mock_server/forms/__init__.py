"""Routes of other model servers that the mock has beside its own, one file per server: Ollama, KServe v2, TGI."""

from mock_server.forms import kserve, ollama, tgi
from model_server.http.routes import Route

ROUTES: list[Route] = [*tgi.ROUTES, *kserve.ROUTES, *ollama.ROUTES]
