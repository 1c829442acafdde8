"""Commands as they go to Redis: the bytes that hiredis would write."""

import hiredis
from redis.asyncio import Connection

from api.redis import connection
from streams.redis import pack


def test_commands_are_packed_as_hiredis_packs_them():
    arguments = ("ключ", b"\x00\r\n", b"", b"x" * 5000, "y" * 70_000, 5, -3, 1 / 3, 1e300, float("-inf"))
    assert pack("SET", arguments) == hiredis.pack_command(("SET", *arguments))
    assert pack("SCRIPT LOAD", ("return 1",)) == hiredis.pack_command(("SCRIPT", "LOAD", "return 1"))
    assert pack("PING", ()) == b"*1\r\n$4\r\nPING\r\n"


def test_commands_of_the_api_are_packed_as_its_client_packs_them():
    client = connection("redis://127.0.0.1:1/0", 0.1)
    ours = client.connection_pool.make_connection()  # type: ignore[attr-defined]
    commands = [("XINFO STREAM", "ключ"), ("MGET", "a", b"b", 3, 1 / 3), ("PING",), ("SET", "k", b"x" * 70_000)]
    for command in commands:
        assert b"".join(ours.pack_command(*command)) == b"".join(Connection().pack_command(*command))
    assert b"".join(ours.pack_commands(commands)) == b"".join(Connection().pack_commands(commands))
