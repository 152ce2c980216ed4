"""Device and precision of the computation: as set, else by the machine's hardware."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from model_server.engines.settings import EngineError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def device_of(name: str) -> Any:
    """The torch device; `auto` is the first GPU, else the CPU."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise EngineError(f"device = {name!r}: cannot be used: {reason}") from error
    return device


def dtype_of(name: str, device: Any) -> Any:
    """The torch dtype; `auto` is bfloat16 if the hardware supports it, else float32."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32


def keep_memory() -> None:
    """Let glibc keep freed memory, so that the large temporaries of each batch do not cause page faults.

    Measured on MiniLM-L6 in bfloat16: 7 % less time for 16 x 64 tokens, 14 % for 8 x 256.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        for parameter, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20)):
            mallopt(parameter, value)
