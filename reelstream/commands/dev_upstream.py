"""`reelstream dev-upstream`: a stand-in for the external content API."""

from typing import Annotated

import typer


def dev_upstream(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8900,
    users: Annotated[int, typer.Option(min=4, help="Users that there are.")] = 1982,
    posts: Annotated[int, typer.Option(min=1, help="Posts that there are.")] = 1375,
    interactions: Annotated[int, typer.Option(min=0, help="Interaction rows, all kinds together.")] = 15_570,
    seed: Annotated[int, typer.Option(help="Another seed makes other rows.")] = 1,
) -> None:
    """Serves generated users, posts and interactions as the external content API does, to collect from without it.

    FLIC_TOKEN and RESONANCE_ALGORITHM are what it asks for; `dev` where they are not set.
    """
    import socket

    import uvicorn

    from schemas.settings import Settings

    from ..dev_upstream.server import Upstream
    from ..dev_upstream.world import World

    settings = Settings.load()
    secrets = [
        secret.get_secret_value() if secret else "dev" for secret in (settings.flic_token, settings.resonance_algorithm)
    ]
    upstream = Upstream(World(users, posts, interactions, seed), *secrets)
    with socket.create_server(("127.0.0.1", port)) as listening:
        typer.echo(f"ready http://127.0.0.1:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(upstream, access_log=False, log_level="critical"))
        server.run(sockets=[listening])
