"""Lengths of made-up prompts against a model's real tokenizer: `python -m tests.bench.prompt_lengths`.

Starts `serve model --task chat` with random weights and plays short runs against it: calibrated by the server's own
count, and with a tokenizer.json of the same kind. Prints what was asked for and what the server counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FORMS = ("64", "normal:mean=300,stdev=60,min=60,max=600", "lognormal:mean=200,sigma=0.6,min=40,max=700")


def main() -> None:
    """Serve, play, print."""
    served = [sys.executable, "-m", "model_server", "--task", "chat", "--random-weights", "--port", "0"]
    served.append("--exit-with-stdin")
    with (
        subprocess.Popen(served, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        for number, form in enumerate(FORMS):
            out = Path(folder) / str(number)
            play(url, form, out)
            for case in json.loads((out / "result.json").read_text())["cases"]:
                show(form, case["prompts"])
        assert server.stdin is not None
        server.stdin.close()


def play(url: str, form: str, out: Path) -> None:
    """Sixty short chats."""
    line = [sys.executable, "-m", "harness", "compare", "--target", url, "--task", "chat", "-s", "queue-stream"]
    line += ["--input-tokens", form, "--output-tokens", "uniform:min=2,max=6", "--items", "60", "--out", str(out)]
    subprocess.run([*line, "--no-report", "--no-calibrate", "--quiet"], check=False)


def show(form: str, found: dict[str, dict[str, float]]) -> None:
    """One line a form."""
    rule = found["calibration"]
    print(f"{form}: {rule['per_word']:.3f} tokens per word, {rule['fixed']:.1f} of the template, ", end="")
    print(f"error on other texts {100 * rule['error']:.2f} %; full length {rule['full_length']}")
    for what in ("input", "output"):
        lengths = found[what]
        print(f"  {what}: asked {lengths['asked_mean']:.2f}, counted {lengths['counted_mean']:.2f}", end="")
        print(f" ({100 * lengths['error']:+.2f} %)")


if __name__ == "__main__":
    main()
