"""What goes wrong around a server; `python -m unseen.bench.faults` tries it with everything else.

`served` is the server and its clients, `serving` what befalls the server, `asking` what clients do.
"""

from unseen.integrations.faults import asking, serving  # noqa: F401
