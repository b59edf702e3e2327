"""The contract of plugins, as checks that pytest runs on any of them: ``pytest --myapp-contract shop``.

::

    collect   the option and the items of pytest
    subject   which plugin is meant
    runner    starts one process for each plugin, in which everything is tried
    probe     what runs in that process: the checks, one after the other
    trial     the plugin there: its import, watched, and apps with and without it
    watch     what an import does besides
    building, serving, tables    the checks

A process of its own, because a check needs an interpreter that has never seen the plugin, and because a plugin may end
the process, or never come to an end.
"""
