"""Enterprise files for the tests: the one of the published example, and the smallest that is whole."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = """\
number = "0123"
name = "Ромашка"
timezone = "Europe/Minsk"
region = "BY"
client_id = "d0c5-0123"

[retailcrm]
url = "https://romashka.retailcrm.ru"
api_key = "hush-key"
site = "romashka"
create_customers = false
create_orders = true
create_tasks = true
credit = "last"
webhook_secret = "hush-hush-webhook"

[missed_calls]
wait_minutes = 5
never_for = ["+375 29 111-11-11", "80291111111", "8 (017) 222-22-22"]
performer = 40
text = "Не дозвонились"
task_minutes = 30
order_method = "missed-call"
order_type = "eshop-individual"
order_status = "new"
order_status_reached = "client-confirmed"

[[asterisk]]
name = "pbx1"
host = "10.0.0.5"
port = 5039
username = "amibridge"
secret = "hush-secret"
internal = '^1\\d\\d$'
trunks = ["PJSIP/provider", "SIP/00013*"]
originate_channel = "Local/{extension}@from-internal/n"
originate_context = "from-inside"
originate_number = "national"
recordings = "/var/spool/asterisk/monitor"

[responsible]
mode = "route"
dialplan = "to-{extension}-on-{line}"
fallback = "last_call"
name = ["line", "customer"]

[supervision]
extensions = ["103", "100", "103"]

[operators]
101 = { user = 27, name = "Иван" }
102 = { user = 31 }

[lines]
74951110001 = { site = "romashka", name = "Москва" }
"""

SMALLEST = """\
number = "7"
name = "Семь"
[retailcrm]
url = "https://seven.retailcrm.ru"
api_key = "hush-key"
[[asterisk]]
name = "pbx"
host = "pbx.example.com"
username = "amibridge"
secret = "hush-secret"
"""


def written(folder: Path, text: str, name: str = "enterprise.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
