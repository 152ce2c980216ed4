"""The gate: decides when an attempt may start, and measures each attempt for the limit that sets the number in flight.

`ConcurrencyLimit` (concurrency_limit.py) is the layer that a strategy puts directly around the transport. It is made of

* slots.py: how many attempts are in flight, the queue of those that wait, and the notification of a free slot;
* shared.py, watchers.py: one gate for all applications of a process that send to one server;
* turnstile.py: the earliest start allowed by rate (pace.py), by a pause after refusals (pause.py) and by quotas that
  the server reports in its headers (quota_headers.py);
* sampler.py: turns each response into a `Sample` for the limit, with the client's own lateness (lateness.py) and the
  size of the request (size.py);
* streak.py: whether the server accepts nothing at all, an outage or a spent quota;
* observer.py: notifies an observer of every change of the limit.
"""
