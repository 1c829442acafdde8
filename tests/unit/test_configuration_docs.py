"""`.env.example` and README's table say what schemas.settings reads: all of it, and nothing else."""

import re
from pathlib import Path

from dotenv import dotenv_values
from pydantic import TypeAdapter

from schemas.settings import Settings

ROOT = Path(__file__).parents[2]
NAMES = {name.upper() for name in Settings.model_fields}
FOR_COMPOSE = {"POSTGRES_PASSWORD"}
"""Read by docker compose alone."""


def documented_defaults(folder: Path) -> dict[str, str | None]:
    """The file as a reader has it who took the # off every variable."""
    uncommented = folder / ".env"
    text = (ROOT / ".env.example").read_text()
    uncommented.write_text(re.sub(r"^# (?=[A-Z_]+=)", "", text, flags=re.MULTILINE))
    return dict(dotenv_values(uncommented))


def test_the_example_names_every_setting_and_no_other(tmp_path: Path) -> None:
    assert documented_defaults(tmp_path).keys() == NAMES | FOR_COMPOSE


def test_the_example_has_the_defaults_of_the_settings(tmp_path: Path) -> None:
    written = documented_defaults(tmp_path)
    for name, field in Settings.model_fields.items():
        text, default = written[name.upper()], field.get_default(call_default_factory=True)
        if default is None:
            assert text == "", name
        elif isinstance(default, dict):
            assert TypeAdapter(dict[str, float]).validate_json(text or "") == default, name
        else:
            assert TypeAdapter(type(default)).validate_python(text) == default, name


def test_the_example_changes_nothing_as_it_is() -> None:
    # A copy of it must not count as given: `reelstream up` fills in what was left open.
    assert dotenv_values(ROOT / ".env.example") == {}


def test_the_example_explains_each_variable_in_the_lines_above_it() -> None:
    for paragraph in (ROOT / ".env.example").read_text().strip().split("\n\n"):
        lines = paragraph.splitlines()
        variables = [line for line in lines if re.match(r"# [A-Z_]+=", line)]
        assert len(variables) <= 1, variables
        assert not variables or (len(lines) > 1 and lines[-1] == variables[0]), paragraph


def test_the_table_in_the_readme_names_every_setting_and_no_other() -> None:
    table = re.findall(r"^\|\s*`([A-Z][A-Z0-9_]+)`\s*\|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(table) == sorted(NAMES)
