"""A lean HTTP/1.1 client on asyncio protocols and llhttp, with the outcomes of the other transports."""

from harness.client.transport.lean.transport import LeanTransport as LeanTransport
