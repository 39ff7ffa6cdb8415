"""`ofa dashboard`: watch a search live in a browser."""

from __future__ import annotations

from omegaconf import DictConfig

from search.app.build import asked_device, run_folder
from search.dashboard import address, make_dashboard
from search.paths import SearchFolder
from search.place import Place
from search.progress import say
from search.run_contents import begun_searches, pick
from search.stages import stamped_config


def task(config: DictConfig) -> None:
    """Serves the dashboard of a search on this machine until it is stopped."""
    run = run_folder(config)
    name = pick(begun_searches(run), run, device=asked_device(config), study=config.study)[-1]
    files = SearchFolder(run.search(name))
    server = make_dashboard(
        Place(files.journal, stamped_config(files.root).get("storage")), config.port, files.artifacts
    )
    say(f"dashboard of {files.root}: {address(server)} (stop with Ctrl-C)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("dashboard: stopped")
    finally:
        server.server_close()
