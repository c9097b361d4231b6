"""``python -m benchmarks.postgres``: Mainspring on PostgreSQL beside other queues and a bare loop, on one server in one run.

``system.py`` says what each system can be asked for; ``bare.py``, ``ours.py``, ``pgqueuer_peer.py`` and
``procrastinate_peer.py`` are the systems. ``part.py`` measures one of them in a process of its own, with the help of
``worker.py``, a process that works off, of which there are one or two. ``__main__.py`` runs the parts and shows the tables.
"""
