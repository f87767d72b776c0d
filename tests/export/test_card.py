"""The card of a run whose names run from right to left."""

import json
from pathlib import Path

from spillover.experiment import parse_experiment
from spillover.export.card import card
from spillover.report.tables.table import Table, markdown


def test_right_to_left_names_have_their_own_direction(tmp_path: Path) -> None:
    run = tmp_path / "تجربة"
    table = markdown([Table("جدول", ("task", "gain"), (("מבחן", "+1.0"), ("plain", "+2.0")))])
    contents = {
        "experiment.toml": "seed = 0\n",
        "provenance.json": json.dumps({"processor": "معالج", "python": "3.11"}),
        "adapter/adapter_config.json": json.dumps({"target_modules": ["q_proj"]}),
        "adapter/history.json": json.dumps({"examples": 4, "target_tokens": 9}),
        "report/tables/summary.md": table,
        "report/tables/gains.md": table,
    }
    for name, content in contents.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content, encoding="utf-8")
    text = card(run, parse_experiment({}, "test"), merged=False)
    assert '# <span dir="auto">تجربة</span>\n' in text
    assert '- processor: <span dir="auto">معالج</span>\n- python: 3.11\n' in text
    assert text.count('<span dir="auto">جدول</span>\n\n| task | gain |') == 2
    assert text.count('| <span dir="auto">מבחן</span> | +1.0 |\n| plain | +2.0 |') == 2
