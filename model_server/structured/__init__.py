"""JSON that fits a JSON Schema, made by construction: structured output of simulated models and random weights.

`value` is the one function. `SchemaError` names the place in the schema and the reason. All is bounded: the depth and
size of the schema, the number of values and of characters that are made.
"""

from model_server.structured.bounds import SchemaError
from model_server.structured.making import ANY_OBJECT, value

__all__ = ["ANY_OBJECT", "SchemaError", "value"]
