"""Make the tables of keys in config/README.md from the schema; with --check, only tell whether they are up to date."""

import json
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
PAGE = ROOT / "config/README.md"
MARK = "<!-- made by workflow/document_keys.py -->\n"


def keys(part, above=""):
    """List the rows of a part of the schema, and of the parts in it: key, default and description."""
    rows = []
    for name, entry in part["properties"].items():
        if "description" in entry:
            rows.append((f"`{above}{name}`", shown(entry["default"]), entry["description"]))
        else:
            rows += keys(entry, f"{above}{name}.")
    return rows


def shown(default):
    """Write a default as in a config file; words that describe one stay as they are."""
    if isinstance(default, str) and " " in default:
        return default
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text if default == '' else text.replace(chr(34), '')}`"


def table(rows):
    lines = [("key", "default", "meaning"), ("---", "---", "---"), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


definitions = SCHEMA["$defs"]
made = f"""{MARK}
## All keys

{table(keys(SCHEMA))}
## Keys of a corpus

{table(keys(definitions["corpus"], "corpora.{name}."))}
## Keys of an encoder

{table(keys(definitions["encoder"], "encoders.{name}."))}"""
page = PAGE.read_text(encoding="utf-8")
wanted = page.partition(MARK)[0] + made
if "--check" not in sys.argv[1:]:
    PAGE.write_text(wanted, encoding="utf-8")
elif page != wanted:
    sys.exit(f"{PAGE.relative_to(ROOT)} is not up to date: run python workflow/document_keys.py")
