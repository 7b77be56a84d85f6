"""`[missed_calls]` of an enterprise file: what is no wish, and what contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibridge.cli.enterprise_file import read_enterprise
from amibridge.config import ConfigError
from amibridge.enterprises import MissedCalls
from tests.cli.enterprise_files import SMALLEST, written


def file(folder: Path, table: str, wish: str = "") -> Path:
    text = SMALLEST.replace("[[asterisk]]", f"[missed_calls]\n{table}\n[[asterisk]]")
    return written(folder, text.replace("[retailcrm]", f"[retailcrm]\n{wish}"))


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("wait_minutes = -1", "wait_minutes: must be greater than or equal to 0"),
        ("wait_minutes = 100000", "wait_minutes: must be less than or equal to 1440"),
        ("wait_minutes = 1.5", "wait_minutes: must be a whole number"),
        ("performer = 0", "performer: must be greater than or equal to 1"),
        ("performer = 2147483648", "performer: must be less than or equal to 2147483647"),
        ("performer = true", "performer: must be a whole number"),
        ('text = " "', "text: must not be empty"),
        ('text = "a\\u0000b"', "text: must not contain line breaks"),
        (f'text = "{"x" * 101}"', "text: is longer than 100 characters"),
        ("task_minutes = 0", "task_minutes: must be greater than or equal to 1"),
        ("task_minutes = 99999999999999999999", "task_minutes: must be less than or equal to 43200"),
        ('order_status = "новый"', "order_status: must be a code of the CRM's dictionaries"),
        ('order_type = ""', "order_type: must be a code of the CRM's dictionaries"),
        ('order_method = "a/../b"', "order_method: must be a code of the CRM's dictionaries"),
        ('order_status = "new"\norder_status_reached = "new"', "order_status_reached: is order_status"),
        ('never_for = ["101"]', "never_for[1]: is not a telephone number"),
        ('never_for = ["+79161234567", "anonymous"]', "never_for[2]: is not a telephone number"),
        ('never_for = ["+7916123456"]', "never_for[1]: is not a telephone number of RU"),
        ('never_for = "+79161234567"', "never_for: must be a list"),
        ("never = []", "never: unknown key; did you mean 'never_for'?"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, table: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_enterprise(file(tmp_path, table))
    [problem] = error.value.problems
    assert f"missed_calls.{complaint}" in problem


def test_tasks_need_somebody_who_gets_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_enterprise(file(tmp_path, "", "create_tasks = true"))
    [problem] = error.value.problems
    assert problem.endswith("retailcrm.create_tasks: needs the id of a CRM user in performer of [missed_calls]")
    assert read_enterprise(file(tmp_path, "performer = 40", "create_tasks = true")).create_tasks


def test_without_the_table_nobody_wants_anything(tmp_path: Path) -> None:
    enterprise = read_enterprise(written(tmp_path, SMALLEST))
    assert (enterprise.create_tasks, enterprise.create_orders) == (False, False)
    assert enterprise.missed_calls == MissedCalls()


def test_a_number_is_one_however_it_is_written(tmp_path: Path) -> None:
    numbers = '["8 (916) 123-45-67", "+7 916 123 45 67", "9161234567"]'
    assert read_enterprise(file(tmp_path, f"never_for = {numbers}")).missed_calls.never_for == ("+79161234567",)
