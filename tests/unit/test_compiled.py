"""What is compiled, where there is a place to keep it and where there is none."""

from online_models.compiled import compiled


def test_what_cannot_be_kept_is_compiled_all_the_same():
    of_no_file = {}
    exec("def twice(number):\n    return 2 * number", of_no_file)  # noqa: S102
    assert compiled(of_no_file["twice"])(4) == 8
