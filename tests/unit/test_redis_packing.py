"""Commands as they go to Redis: the bytes that hiredis would write."""

import hiredis

from streams.redis import pack


def test_commands_are_packed_as_hiredis_packs_them():
    arguments = ("ключ", b"\x00\r\n", b"", b"x" * 5000, "y" * 70_000, 5, -3, 1 / 3, 1e300, float("-inf"))
    assert pack("SET", arguments) == hiredis.pack_command(("SET", *arguments))
    assert pack("SCRIPT LOAD", ("return 1",)) == hiredis.pack_command(("SCRIPT", "LOAD", "return 1"))
    assert pack("PING", ()) == b"*1\r\n$4\r\nPING\r\n"
