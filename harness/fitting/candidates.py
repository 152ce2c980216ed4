"""Candidates are simulated and compared with the calibration; the best one is refined.

The loss is the root mean square, over all loads, of the relative errors of throughput, p50, p95, TTFT and ITL. The
constants are then scaled (service times, overhead, jitter) by least squares of the same errors, with equal random
numbers for every candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.fitting.estimates import with_alternatives
from harness.fitting.fit_loads import FitLoad
from harness.fitting.fitted_parameters import Fit, batch_estimates
from harness.fitting.load_figures import IN_LOSS, Figures, loss, relative
from harness.fitting.profile_file import profile_of
from harness.fitting.replaying import compared
from harness.fitting.seen import Seen
from mock_server.jitter import Gamma, Lognormal

GOOD = 0.02
"""A fit with a smaller loss is not refined."""
HOPELESS = 0.3
"""Nor is one with a larger loss: scaled constants would not explain the server."""
_AS_GOOD = 1.15
_AS_GOOD_MORE = 0.003
_ROUGH_ITEMS = 500
"""Requests of a load while candidates are compared."""
_SCALES = (0.5, 2.0)
_ROUNDS = 12
_OF_SERVICE = ("base_s", "per_item_s", "per_token_s", "per_square_s")

Pairs = list[tuple[Figures, Figures]]


@dataclass(frozen=True)
class Scales:
    """Factors on the estimates of a fit."""

    service: float = 1.0
    overhead: float = 1.0
    jitter: float = 1.0

    def applied(self, found: Fit) -> Fit:
        """The fit with these factors on its constants, their standard errors, its residuals and its estimates."""
        if found.law is None:
            return found
        factors = dict.fromkeys(_OF_SERVICE, self.service) | {"overhead_s": self.overhead}
        values, errors = (
            {name: value * factors.get(name, 1.0) for name, value in of.items()}
            for of in (found.law.values, found.law.errors)
        )
        law = replace(found.law, values=values, errors=errors, ratios=found.law.ratios / self.service)
        jitter = found.jitter
        if isinstance(jitter, Lognormal | Gamma):
            jitter = type(jitter)(cv=min(10.0, jitter.cv * self.jitter))
        made = replace(found, law=law, jitter=jitter)
        return replace(made, estimates=tuple(batch_estimates(made)))


class Search:
    """Simulates candidates against one calibration."""

    def __init__(self, measured: Sequence[tuple[FitLoad, Seen]], task: str, seed: int, own_s: float) -> None:
        self._measured = measured
        self._task = task
        self._seed = seed
        self._own_s = own_s
        self.simulated = 0

    def best(self, found: Sequence[Fit], say: Callable[[str], None]) -> Fit:
        """The candidate with the least loss, refined if it is not near yet; the first of those that are as good."""
        chosen, others = found[0], list[Fit]()
        if len(found) > 1:
            losses = []
            for one in found:
                say(f"candidate: {one.structure.text}")
                losses.append(loss(self.rough(one)))
            least = min(losses)
            good = [one for one, lost in zip(found, losses, strict=True) if lost <= least * _AS_GOOD + _AS_GOOD_MORE]
            chosen, others = good[0], good[1:]
        chosen = self._policy(chosen, say)
        if GOOD < loss(self.rough(chosen)) < HOPELESS and chosen.law is not None:
            say("refining")
            chosen = self.refined(chosen)
        return with_alternatives(chosen, [one.structure for one in others])

    def _policy(self, found: Fit, say: Callable[[str], None]) -> Fit:
        """The fit with the bounds of its batches, in tokens and by what padding costs; only simulations show both."""
        if (
            found.policy_known
            or found.law is None
            or found.structure.batch_items == 1
            or found.law.values["per_token_s"] == 0
        ):
            return found
        say("candidates: bounds of a batch")
        variants = [found]
        cost = found.law.values["base_s"] / found.law.values["per_token_s"]
        for tokens in {0, found.batch_tokens_seen}:
            for overhead in (0.0, cost):
                if tokens or overhead:
                    structure = replace(found.structure, batch_tokens=tokens)
                    variants.append(replace(found, structure=structure, overhead_tokens=overhead))
        losses = [loss(self.rough(one)) for one in variants]
        # Without a bound, unless one is clearly better.
        best = int(np.argmin(losses))
        return variants[best] if losses[best] < losses[0] * 0.9 else found

    def rough(self, found: Fit) -> Pairs:
        """Figures of short loads, measured and simulated."""
        first = slice(0, _ROUGH_ITEMS)
        short = [(load, seen.part(first) if load.concurrency else seen) for load, seen in self._measured]
        return self._pairs(found, short)

    def whole(self, found: Fit) -> Pairs:
        """Figures of all requests."""
        return self._pairs(found, self._measured)

    def _pairs(self, found: Fit, measured: Sequence[tuple[FitLoad, Seen]]) -> Pairs:
        self.simulated += 1
        return compared(profile_of(found, self._own_s), measured, self._task, self._seed)

    def refined(self, found: Fit) -> Fit:
        """The fit with its constants scaled to the least loss."""
        from scipy.optimize import least_squares

        assert found.law is not None  # noqa: S101 - of batches
        names = ["service"]
        names += ["overhead"] * (found.law.values["overhead_s"] > 0)
        names += ["jitter"] * isinstance(found.jitter, Lognormal | Gamma)

        def made(point: Any) -> Fit:
            return Scales(**dict(zip(names, np.exp(point).tolist(), strict=True))).applied(found)

        def errors(point: Any) -> Any:
            pairs = self.rough(made(point))
            known = [[relative(one, other, name) for name in IN_LOSS] for one, other in pairs]
            return np.array([[0.0 if error is None else error for error in row] for row in known]).ravel()

        low, high = np.log(_SCALES[0]), np.log(_SCALES[1])
        solved = least_squares(
            errors, np.zeros(len(names)), bounds=(low, high), diff_step=0.03, max_nfev=_ROUNDS, xtol=2e-3, ftol=1e-3,
            x_scale=0.1, loss="soft_l1", f_scale=0.05,
        )  # fmt: skip
        return made(solved.x)
