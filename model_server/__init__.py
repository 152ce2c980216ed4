"""Part of paceline: the HTTP interface of both servers, their batching policy and the engines of the model server."""
